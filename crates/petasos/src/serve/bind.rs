//! Addresses to listen on: taken at start, listened to only when the hub works.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
};

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait to be accepted; the system may allow fewer. A reconnect storm should fit.
pub(super) const BACKLOG: i32 = 4096;

/// An address that is taken but where nobody is listened to yet: clients are refused, and another process that wants it
/// is told so.
#[derive(Debug)]
pub(super) struct Bound(Socket);

/// Takes an address: `host:port`, and all interfaces where the host is missing. A name may stand for several addresses.
///
/// # Errors
/// What the system says; the address is in the text.
pub(super) fn bind(address: &str, reuse_port: bool) -> io::Result<Vec<Bound>> {
    let in_words =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    if let Some(port) = address.strip_prefix(':').or_else(|| address.strip_prefix("*:")) {
        let port = port.parse().map_err(|_| in_words(io::Error::other("the port is not a number")))?;
        // One socket for both families, where the machine has both.
        let dual = bind_one(SocketAddr::from(([0_u16; 8], port)), reuse_port);
        let bound = match dual {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                bind_one(SocketAddr::from(([0_u8; 4], port)), reuse_port)
            }
            other => other,
        };
        return Ok(vec![bound.map_err(in_words)?]);
    }
    let mut bound = Vec::new();
    let mut missing = None;
    for resolved in address.to_socket_addrs().map_err(in_words)? {
        match bind_one(resolved, reuse_port) {
            Ok(socket) => bound.push(socket),
            // `localhost` has an IPv6 address on machines without IPv6.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => missing = Some(error),
            Err(error) => return Err(in_words(error)),
        }
    }
    match missing {
        Some(error) if bound.is_empty() => Err(in_words(error)),
        _ => Ok(bound),
    }
}

fn bind_one(address: SocketAddr, reuse_port: bool) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A restart need not wait for the connections of the last process.
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    Ok(Bound(socket))
}

impl Bound {
    /// Lets clients come.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn listen(self) -> io::Result<std::net::TcpListener> {
        // Another process may have taken the address in the meantime, if both were started at once.
        self.0.listen(BACKLOG).map_err(|error| {
            let address = self.0.local_addr().ok().and_then(|address| address.as_socket());
            let address = address.map_or_else(|| "the address".to_owned(), |address| address.to_string());
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?;
        Ok(self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_host_is_both_families_on_one_socket() {
        let mut bound = bind(":0", false).expect("a free port");
        assert_eq!(bound.len(), 1);
        let listener = bound.remove(0).listen().expect("listening");
        let port = listener.local_addr().expect("an address").port();
        std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection by IPv4");
    }

    #[test]
    fn nobody_is_listened_to_before_the_hub_is_ready_but_the_address_is_taken() {
        let mut bound = bind("127.0.0.1:0", false).expect("a free port");
        let socket = bound.remove(0);
        let address = socket.0.local_addr().expect("an address").as_socket().expect("of the internet");
        let refused = std::net::TcpStream::connect(address).expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let _listener = socket.listen().expect("listening");
        std::net::TcpStream::connect(address).expect("a connection");
        let error = bind(&address.to_string(), false).expect_err("taken").to_string();
        assert!(error.contains(&address.to_string()), "{error}");
    }

    #[test]
    fn of_two_processes_that_start_at_once_one_is_told() {
        let first = bind("127.0.0.1:0", false).expect("a free port").remove(0);
        let address =
            first.0.local_addr().expect("an address").as_socket().expect("of the internet").to_string();
        let second = bind(&address, false).expect("nobody listens yet").remove(0);
        let _listener = first.listen().expect("listening");
        let error = second.listen().expect_err("taken").to_string();
        assert!(error.contains(&address), "{error}");
    }

    #[test]
    fn two_processes_may_share_a_port_if_both_say_so() {
        let first = bind("127.0.0.1:0", true).expect("a free port").remove(0).listen().expect("listening");
        let address = first.local_addr().expect("an address").to_string();
        bind(&address, true).expect("shared").remove(0).listen().expect("listening");
        assert!(bind(&address, false).is_err());
    }

    #[test]
    fn a_name_that_is_none_is_told() {
        let error = bind("no-such-host.invalid:80", false).expect_err("no such name").to_string();
        assert!(error.contains("no-such-host.invalid:80"), "{error}");
        assert!(bind(":http", false).is_err());
    }
}
