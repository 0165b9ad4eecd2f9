//! A timer that wakes a thread which waits for sockets, to the microsecond where the system can: the timeout of `epoll`
//! knows milliseconds only, which is too coarse for a pace of thousands of updates a second.

use std::{io, time::Duration};

use mio::{Registry, Token};

use super::clock::now_ns;

/// Wakes the thread at a given time.
#[derive(Debug)]
pub(crate) struct Timer {
    #[cfg(target_os = "linux")]
    file: rustix::fd::OwnedFd,
    set_ns: Option<u64>,
}

impl Timer {
    /// One that is watched under this token.
    ///
    /// # Errors
    /// There are no more files.
    #[cfg(target_os = "linux")]
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let file = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let mut source = mio::unix::SourceFd(&file.as_raw_fd());
        registry.register(&mut source, token, mio::Interest::READABLE)?;
        Ok(Self { file, set_ns: None })
    }

    /// One that only knows how long to wait.
    ///
    /// # Errors
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new(_registry: &Registry, _token: Token) -> io::Result<Self> {
        Ok(Self { set_ns: None })
    }

    /// Wakes at this time of the monotonic clock and no other; with `None` not at all.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn set(&mut self, at_ns: Option<u64>) -> io::Result<()> {
        if self.set_ns != at_ns {
            #[cfg(target_os = "linux")]
            self.arm(Duration::from_nanos(at_ns.unwrap_or(0)))?;
            self.set_ns = at_ns;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn arm(&self, at: Duration) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let value = Timespec { tv_sec: at.as_secs().cast_signed(), tv_nsec: at.subsec_nanos().into() };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Setting it makes a time that has passed ready again, so that it need not be read.
        let spec = Itimerspec { it_interval: never, it_value: value };
        timerfd_settime(&self.file, TimerfdTimerFlags::ABSTIME, &spec)?;
        Ok(())
    }

    /// How long to wait at most, where the timer itself wakes nobody; `least` is another reason to wake.
    pub(crate) fn timeout(&self, least: Option<Duration>) -> Option<Duration> {
        let own = match self.set_ns {
            Some(at_ns) if cfg!(not(target_os = "linux")) => {
                Some(Duration::from_nanos(at_ns.saturating_sub(now_ns())))
            }
            _ => None,
        };
        own.into_iter().chain(least).min()
    }

    /// Whether its time has come. Then the same time may be set again.
    pub(crate) fn take_due(&mut self) -> bool {
        let due = self.set_ns.is_some_and(|at_ns| at_ns <= now_ns());
        if due {
            self.set_ns = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn it_wakes_at_its_time_and_again_when_it_is_set_again() {
        let (mut poll, mut events) = (Poll::new().expect("a poll"), Events::with_capacity(4));
        let mut timer = Timer::new(poll.registry(), Token(7)).expect("a timer");
        for _ in 0..3 {
            let at_ns = now_ns() + 2_000_000;
            timer.set(Some(at_ns)).expect("set");
            assert!(!timer.take_due() || now_ns() >= at_ns);
            timer.set(Some(at_ns)).expect("set");
            while !timer.take_due() {
                let timeout = timer.timeout(Some(Duration::from_secs(10)));
                poll.poll(&mut events, timeout).expect("waited");
            }
            assert!(now_ns() >= at_ns);
            assert!(now_ns() < at_ns + 5_000_000_000, "the timer woke the thread, and not the limit");
        }
    }
}
