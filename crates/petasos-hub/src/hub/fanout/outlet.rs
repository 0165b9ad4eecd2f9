//! The socket of a live subscriber on plain HTTP/1.1, owned by its event loop: ready bytes go in, and what the socket does
//! not take waits here. Knows when bytes were taken, and nothing of what that means for its reader.
//!
//! What waits are references to the frames that all subscribers share, so that a slow reader costs the events it keeps
//! alive and not copies of them.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, Read, Write},
};

use bytes::{Buf, Bytes};
use mio::net::TcpStream;

use super::policy::FORGIVEN_PART;
use crate::{
    chunk,
    hub::{EndReason, SocketOwner, budget::Budget, stream::Lifetime},
};

/// What a piece that waits costs beside its bytes: its place in the backlog.
const PIECE_BYTES: usize = size_of::<Bytes>();

/// Pieces that one call hands to the socket.
const SLICES: usize = 64;

/// What a client may send ahead while its stream is open. A client that sends more is not read from any more; it has no
/// business to.
const READ_AHEAD_BYTES: usize = 16 << 10;

/// See the module.
pub(super) struct Outlet {
    stream: TcpStream,
    /// When the socket last took bytes, on the clock of the loop.
    written_ms: u64,
    backlog: Option<Box<Backlog>>,
    /// The stream ends when everything that waits is written.
    ending: bool,
    kept: Box<Kept>,
}

/// What is only needed when something happens to the stream.
struct Kept {
    lifetime: Lifetime,
    owner: Box<dyn SocketOwner>,
    read_ahead: Vec<u8>,
}

#[derive(Debug, Default)]
struct Backlog {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// A part of the first piece is written: the rest must follow.
    begun: bool,
    /// When it was last compared with its bound, and whether it was over it.
    measured_ms: u64,
    is_over: bool,
    /// For how long it was over it: see [`Outlet::measure`].
    over_ms: u64,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Everything is written.
    All,
    /// Something waits.
    Waits,
    /// Everything is written, and the stream has come to its end.
    Ended,
    /// The connection is dead.
    Dead,
}

impl Outlet {
    pub(super) fn new(
        stream: TcpStream,
        lifetime: Lifetime,
        owner: Box<dyn SocketOwner>,
        read_ahead: &[u8],
        now_ms: u64,
    ) -> Self {
        let kept = Box::new(Kept { lifetime, owner, read_ahead: read_ahead.to_vec() });
        Self { stream, written_ms: now_ms, backlog: None, ending: false, kept }
    }

    /// When the socket last took bytes.
    pub(super) fn written_ms(&self) -> u64 {
        self.written_ms
    }

    /// How many bytes wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.backlog.as_ref().map_or(0, |backlog| backlog.bytes)
    }

    /// Sends these pieces, of which `ready` is all in one. What the socket does not take waits.
    pub(super) fn send<'a>(
        &mut self,
        ready: &[u8],
        pieces: impl IntoIterator<Item = &'a Bytes>,
        now_ms: u64,
        budget: &Budget,
    ) -> Written {
        if self.ending {
            return Written::Waits;
        }
        let mut skip = 0;
        if self.backlog.is_none() {
            skip = match self.write(ready, now_ms) {
                Ok(count) if count == ready.len() => return Written::All,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return Written::Dead,
            };
        }
        let backlog = self.backlog.get_or_insert_with(|| Backlog::since(now_ms));
        for piece in pieces {
            let written = skip.min(piece.len());
            skip -= written;
            if written < piece.len() {
                backlog.begun |= written > 0;
                backlog.push(piece.slice(written..), budget);
            }
        }
        Written::Waits
    }

    /// Lets the head of the response, if it is not written yet, and the first pieces wait for the next [`Self::flush`].
    pub(super) fn put(
        &mut self,
        head: Bytes,
        pieces: impl Iterator<Item = Bytes>,
        now_ms: u64,
        budget: &Budget,
    ) {
        let backlog = self.backlog.get_or_insert_with(|| Backlog::since(now_ms));
        if !head.is_empty() {
            // It is no event that could be left out.
            backlog.begun = true;
            backlog.push(head, budget);
        }
        pieces.for_each(|piece| backlog.push(piece, budget));
    }

    /// Writes what waits, as much as the socket takes.
    pub(super) fn flush(&mut self, now_ms: u64, budget: &Budget) -> Written {
        while let Some(backlog) = &mut self.backlog {
            if backlog.pieces.is_empty() {
                self.backlog = None;
                break;
            }
            let slices: [IoSlice<'_>; SLICES] =
                std::array::from_fn(|at| IoSlice::new(backlog.pieces.get(at).map_or(&[], |piece| piece)));
            let used = backlog.pieces.len().min(SLICES);
            match retry(|| self.stream.write_vectored(&slices[..used])) {
                Ok(count) => {
                    backlog.written(count, budget);
                    self.written_ms = now_ms;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Waits,
                Err(_) => return Written::Dead,
            }
        }
        if self.ending { Written::Ended } else { Written::All }
    }

    /// Sends the keep-alive comment (S09), where nothing waits: bytes that wait say as much.
    pub(super) fn heartbeat(&mut self, now_ms: u64, budget: &Budget) -> Written {
        if self.backlog.is_some() || self.ending {
            return Written::Waits;
        }
        self.send(chunk::HEARTBEAT, [&Bytes::from_static(chunk::HEARTBEAT)], now_ms, budget)
    }

    /// Ends the stream cleanly (S13): with what waits, which belongs to it, unless its token has run out.
    pub(super) fn end(&mut self, reason: EndReason, now_ms: u64, budget: &Budget) -> Written {
        if self.ending {
            return Written::Waits;
        }
        self.kept.lifetime.ends_for(reason);
        self.ending = true;
        let backlog = self.backlog.get_or_insert_with(|| Backlog::since(now_ms));
        if reason == EndReason::TokenExpired {
            // What has begun must come to its end, or the terminating chunk is not seen as one.
            backlog.truncate(usize::from(backlog.begun), budget);
        }
        backlog.push(Bytes::from_static(chunk::LAST), budget);
        self.flush(now_ms, budget)
    }

    /// Reads what the client sends, which is kept for whoever gets the socket back. `false` where it has ended: nobody is
    /// taken to read who has closed his side (`is_closed`, where what he has sent is not read).
    pub(super) fn read(&mut self, is_closed: bool) -> bool {
        let mut buffer = [0; 4_096];
        while self.kept.read_ahead.len() <= READ_AHEAD_BYTES {
            match retry(|| self.stream.read(&mut buffer)) {
                Ok(0) => return false,
                Ok(count) => self.kept.read_ahead.extend_from_slice(&buffer[..count]),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        !is_closed
    }

    /// Whether its stream has ended but for what is to be written.
    pub(super) fn is_ending(&self) -> bool {
        self.ending
    }

    /// Counts time over the bound, and forgives a part of it for time within. Called when what waits may have crossed it.
    pub(super) fn measure(&mut self, bound_bytes: usize, now_ms: u64) {
        let Some(backlog) = &mut self.backlog else { return };
        let passed_ms = now_ms.saturating_sub(backlog.measured_ms);
        backlog.over_ms = if backlog.is_over {
            backlog.over_ms + passed_ms
        } else {
            backlog.over_ms.saturating_sub(passed_ms / FORGIVEN_PART)
        };
        (backlog.measured_ms, backlog.is_over) = (now_ms, backlog.bytes > bound_bytes);
    }

    /// How long more than the bound has been waiting.
    pub(super) fn over_ms(&self) -> u64 {
        self.backlog.as_ref().map_or(0, |backlog| backlog.over_ms)
    }

    /// The clean end: the socket goes back to its owner.
    pub(super) fn give_back(mut self, registry: &mio::Registry) {
        // Fails only where it is not registered, and then there is nothing to take back.
        let _ = registry.deregister(&mut self.stream);
        let Kept { mut lifetime, owner, read_ahead } = *self.kept;
        lifetime.release();
        owner.give_back(self.stream.into(), Bytes::from(read_ahead));
        // Behind it: whoever waits for the last stream finds its connection with the owner.
        drop(lifetime);
    }

    /// The end without one. A reader that takes nothing any more gets a reset, so that the system lets go of what it
    /// holds for it.
    pub(super) fn abandon(mut self, reason: EndReason, budget: &Budget) {
        self.kept.lifetime.ends_for(reason);
        if let Some(backlog) = &mut self.backlog {
            backlog.truncate(0, budget);
        }
        if reason != EndReason::ClientGone {
            // Fails only on a socket that is gone already.
            let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(std::time::Duration::ZERO));
        }
    }

    fn write(&mut self, bytes: &[u8], now_ms: u64) -> io::Result<usize> {
        let count = retry(|| self.stream.write(bytes))?;
        self.written_ms = now_ms;
        Ok(count)
    }
}

impl Backlog {
    fn since(now_ms: u64) -> Box<Self> {
        Box::new(Self { measured_ms: now_ms, ..Self::default() })
    }

    fn push(&mut self, piece: Bytes, budget: &Budget) {
        let bytes = piece.len() + PIECE_BYTES;
        self.bytes += bytes;
        budget.take(bytes);
        self.pieces.push_back(piece);
    }

    fn written(&mut self, mut count: usize, budget: &Budget) {
        let before = self.bytes;
        while let Some(first) = self.pieces.front_mut() {
            if count < first.len() {
                first.advance(count);
                self.bytes -= count;
                self.begun |= count > 0;
                break;
            }
            count -= first.len();
            self.bytes -= first.len() + PIECE_BYTES;
            self.pieces.pop_front();
            self.begun = false;
        }
        budget.give_back(before - self.bytes);
    }

    /// Drops everything but the first pieces.
    fn truncate(&mut self, pieces: usize, budget: &Budget) {
        let dropped: usize = self.pieces.drain(pieces..).map(|piece| piece.len() + PIECE_BYTES).sum();
        self.bytes -= dropped;
        budget.give_back(dropped);
    }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_written_piece_by_piece_and_counted() {
        let budget = Budget::new(0);
        let mut backlog = Backlog::default();
        for piece in ["one", "three", "five"] {
            backlog.push(Bytes::from_static(piece.as_bytes()), &budget);
        }
        assert_eq!(backlog.bytes, 12 + 3 * PIECE_BYTES);
        backlog.written(4, &budget);
        assert!(backlog.begun);
        assert_eq!(&backlog.pieces[0][..], b"hree");
        backlog.truncate(1, &budget);
        assert_eq!((backlog.bytes, budget.used_bytes()), (4 + PIECE_BYTES, 4 + PIECE_BYTES));
        backlog.written(4, &budget);
        assert!(!backlog.begun && backlog.pieces.is_empty());
        assert_eq!((backlog.bytes, budget.used_bytes()), (0, 0));
    }
}
