//! A timer that wakes a thread which waits for sockets, to the microsecond: the timeout of `epoll` knows milliseconds
//! only, which is too coarse for a pace of thousands of updates a second.

use std::{io, os::fd::AsRawFd, time::Duration};

use mio::{Interest, Registry, Token, unix::SourceFd};
use rustix::{
    fd::OwnedFd,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

/// Wakes the thread at a given time.
#[derive(Debug)]
pub(crate) struct Timer {
    file: OwnedFd,
    set_ns: Option<u64>,
}

impl Timer {
    /// One that is watched under this token.
    ///
    /// # Errors
    /// There are no more files.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let file = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        registry.register(&mut SourceFd(&file.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { file, set_ns: None })
    }

    /// Wakes at this time of the monotonic clock and no other; with `None` not at all.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn set(&mut self, at_ns: Option<u64>) -> io::Result<()> {
        if self.set_ns == at_ns {
            return Ok(());
        }
        let at = Duration::from_nanos(at_ns.unwrap_or(0));
        let value = Timespec { tv_sec: at.as_secs().cast_signed(), tv_nsec: at.subsec_nanos().into() };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Setting it makes a time that has passed ready again, so that it need not be read.
        let spec = Itimerspec { it_interval: never, it_value: value };
        timerfd_settime(&self.file, TimerfdTimerFlags::ABSTIME, &spec)?;
        self.set_ns = at_ns;
        Ok(())
    }

    /// It has gone off: the same time may be set again.
    pub(crate) fn gone_off(&mut self) {
        self.set_ns = None;
    }
}
