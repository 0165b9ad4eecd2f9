//! The threads that make load, as the rest of the bench sees them: counters that each shows, and a list of commands for
//! each, with a waker. What a thread does with them is its own business.

use std::{collections::VecDeque, io, sync::Arc, thread::JoinHandle};

use mio::Waker;
use parking_lot::Mutex;

use super::histogram::Latencies;

/// What a thread shows while it works, and where its commands are put.
pub(crate) trait Shown: Default + Send + Sync + 'static {
    /// What it can be told.
    type Command;

    /// Tells it to close its connections and end.
    fn quit() -> Self::Command;

    /// What it is still to do.
    fn commands(&self) -> &Mutex<VecDeque<Self::Command>>;

    /// Latencies since somebody looked.
    fn recent(&self) -> &Mutex<Latencies>;
}

#[derive(Debug)]
struct Worker<S> {
    shown: Arc<S>,
    waker: Arc<Waker>,
    thread: JoinHandle<()>,
}

/// Threads at work. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Workers<S: Shown> {
    workers: Vec<Worker<S>>,
}

impl<S: Shown> Workers<S> {
    /// Starts threads for so many clients, which are shared out in turn. `prepare` makes what a thread runs of the numbers
    /// of its clients, and what wakes it.
    ///
    /// # Errors
    /// There are no threads or files to be had.
    pub(crate) fn start<R: FnOnce() + Send + 'static>(
        name: &str,
        threads: usize,
        clients: usize,
        prepare: impl Fn(Vec<usize>, usize, Arc<S>) -> io::Result<(R, Arc<Waker>)>,
    ) -> io::Result<Self> {
        let threads = threads.clamp(1, clients.max(1));
        let mut started = Self { workers: Vec::new() };
        for index in 0..threads {
            let own = (index..clients).step_by(threads).collect();
            let shown = Arc::new(S::default());
            let (run, waker) = prepare(own, threads, Arc::clone(&shown))?;
            let thread = std::thread::Builder::new().name(format!("{name}-{index}")).spawn(run)?;
            started.workers.push(Worker { shown, waker, thread });
        }
        Ok(started)
    }

    /// What each of them shows.
    pub(crate) fn shown<'s, T: 's>(&'s self, get: impl Fn(&S) -> T + 's) -> impl Iterator<Item = T> + 's {
        self.workers.iter().map(move |worker| get(&worker.shown))
    }

    /// Tells all of them. What `prepare` changes of what a thread shows is changed while it cannot take a command.
    pub(crate) fn tell_prepared(&self, prepare: impl Fn(&S), command: impl Fn() -> S::Command) {
        for worker in &self.workers {
            let mut commands = worker.shown.commands().lock();
            prepare(&worker.shown);
            commands.push_back(command());
            drop(commands);
            // It fails only for a thread that has ended.
            let _ = worker.waker.wake();
        }
    }

    /// Tells all of them.
    pub(crate) fn tell(&self, command: impl Fn() -> S::Command) {
        self.tell_prepared(|_| {}, command);
    }

    /// Adds the latencies since the last call to `to`.
    pub(crate) fn take_recent(&self, to: &mut Latencies) {
        for worker in &self.workers {
            let mut recent = worker.shown.recent().lock();
            if recent.len() > 0 {
                to.add(&recent);
                recent.clear();
            }
        }
    }
}

impl<S: Shown> Drop for Workers<S> {
    fn drop(&mut self) {
        self.tell(S::quit);
        for worker in self.workers.drain(..) {
            let _ = worker.thread.join();
        }
    }
}
