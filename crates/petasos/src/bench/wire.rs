//! A nonblocking connection: plain, or with TLS on top.

use std::io::{self, Read, Write};

use mio::{Interest, Registry, Token, event::Source, net::TcpStream};
use rustls::ClientConnection;

use super::endpoint::Endpoint;

/// One connection. Reads and writes fail with `WouldBlock` where a socket would.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Wire {
    /// Begins to connect.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn open(endpoint: &Endpoint, index: usize) -> io::Result<Self> {
        let stream = endpoint.connect(index)?;
        let tls = match &endpoint.tls {
            None => None,
            Some(tls) => {
                let connection = ClientConnection::new(tls.config.clone(), tls.name.clone());
                Some(Box::new(connection.map_err(io::Error::other)?))
            }
        };
        Ok(Self { stream, tls })
    }

    /// What became of connecting, once the socket is writable: `Ok(false)` is not yet.
    ///
    /// # Errors
    /// It failed.
    pub(crate) fn is_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a read that did not fill its buffer has taken everything that was there.
    pub(crate) fn short_read_empties(&self) -> bool {
        self.tls.is_none()
    }

    /// Reads.
    ///
    /// # Errors
    /// As a socket, and where TLS goes wrong.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            flush(tls, &mut self.stream)?;
            if tls.read_tls(&mut self.stream)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// Writes some of `bytes`.
    ///
    /// # Errors
    /// As a socket, and where TLS goes wrong.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.write(bytes) };
        loop {
            let taken = tls.writer().write(bytes)?;
            match flush(tls, &mut self.stream) {
                // Its buffer was full and is empty now.
                Ok(()) if taken == 0 && !bytes.is_empty() => {}
                Ok(()) => return Ok(taken),
                // It goes out with the next call, be it a read or a write.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && taken > 0 => return Ok(taken),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends what TLS holds back; to be called whenever the socket is writable.
    ///
    /// # Errors
    /// As a socket.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => flush(tls, &mut self.stream),
            None => Ok(()),
        }
    }

    /// The socket, for its options.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Has the socket watched.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.stream.register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Watched no longer.
    pub(crate) fn deregister(&mut self, registry: &Registry) {
        // A socket that is closed next is forgotten by the system anyway.
        let _ = self.stream.deregister(registry);
    }
}

fn flush(tls: &mut ClientConnection, stream: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(stream)?;
    }
    Ok(())
}
