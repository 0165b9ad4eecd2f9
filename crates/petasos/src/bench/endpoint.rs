//! Where the load goes: address, TLS, and from which of this machine's addresses.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::client::target::Target;

/// The receive buffer of every connection. Left to itself the system gives some sixty times what it gives others, and
/// under full load those others cannot take what everybody gets. It is also what waits in the kernel unseen: with much of
/// it, latency says how large buffers are.
const RECEIVE_BUFFER_BYTES: usize = 128 << 10;

/// How long a hub may take to accept the first connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Source addresses at most: 127.0.0.2 to 127.0.0.251.
pub(crate) const MAX_SOURCES: u8 = 250;

/// Where connections go.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// The address that answered.
    pub(crate) address: SocketAddr,
    /// For `https`.
    pub(crate) tls: Option<EndpointTls>,
    /// The value of `Host`.
    pub(crate) authority: String,
    /// Addresses to come from, in turn; empty for whichever the system takes.
    pub(crate) sources: Vec<IpAddr>,
}

/// How to speak TLS there.
#[derive(Clone, Debug)]
pub(crate) struct EndpointTls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// Nobody answers.
    #[error("cannot connect to {place}: {error}")]
    Connect {
        /// `host:port`.
        place: String,
        /// What the system says.
        error: io::Error,
    },
    /// Other targets cannot be reached from there.
    #[error("--source-addresses works for targets on 127.0.0.0/8 only, and {0} is not there")]
    NotLoopback(IpAddr),
}

impl Endpoint {
    /// Finds the address of the target that answers.
    ///
    /// # Errors
    /// None does.
    pub(crate) fn find(target: &Target, sources: u8) -> Result<Self, EndpointError> {
        let place = || format!("{}:{}", target.host, target.port);
        let failed = |error| EndpointError::Connect { place: place(), error };
        let mut last = io::Error::other("the name has no address");
        let addresses = (target.host.as_str(), target.port).to_socket_addrs().map_err(failed)?;
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
                Ok(_) => return Self::at(address, target, sources),
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    fn at(address: SocketAddr, target: &Target, sources: u8) -> Result<Self, EndpointError> {
        let loopback = matches!(address.ip(), IpAddr::V4(address) if address.is_loopback());
        if sources > 0 && !loopback {
            return Err(EndpointError::NotLoopback(address.ip()));
        }
        let tls = target.tls.as_ref().map(|tls| {
            let mut config = tls.config.clone();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            EndpointTls { config: Arc::new(config), name: tls.name.clone() }
        });
        let authority = target.authority().to_owned();
        Ok(Self { address, tls, authority, sources: Self::source_addresses(sources) })
    }

    /// A plain endpoint at an address of this machine.
    pub(crate) fn plain(address: SocketAddr, sources: u8) -> Self {
        let authority = address.to_string();
        Self { address, tls: None, authority, sources: Self::source_addresses(sources) }
    }

    fn source_addresses(count: u8) -> Vec<IpAddr> {
        (0..count.min(MAX_SOURCES)).map(|index| IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + index))).collect()
    }

    /// Begins to connect; the socket is writable when it has come about. `index` chooses the source address.
    ///
    /// # Errors
    /// As the system says, most likely that there are no more files or ports.
    pub(crate) fn connect(&self, index: usize) -> io::Result<mio::net::TcpStream> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        if !self.sources.is_empty() {
            let source = self.sources[index % self.sources.len()];
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&self.address.into()) {
            Ok(()) => {}
            Err(error) if in_progress(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(mio::net::TcpStream::from_std(socket.into()))
    }
}

fn in_progress(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

/// Why no connection can be opened, with the way out where it is known.
pub(crate) fn connect_problem(error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::AddrNotAvailable => "; one address has about 28,000 ports: see --source-addresses",
        _ => "",
    };
    format!("a connection cannot be opened: {error}{hint}")
}

/// Lets the socket end with a reset when it is closed, so that it occupies no port afterwards.
pub(crate) fn reset_on_close(stream: &mio::net::TcpStream) {
    // Where that cannot be set, closing is merely slower.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
