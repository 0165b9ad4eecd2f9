//! What processes say of themselves, asked in a way that a process that is being killed cannot disturb.
//!
//! Concurrency: a watch is one task for each process it asks; they end with it.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
};

/// Whether clients should be sent here.
pub const READY: &str = "/mercure/health/ready";

/// Whether a restart would not help.
pub const LIVE: &str = "/mercure/health/live";

/// A process that does not answer in this time is as good as gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two questions of a watch.
const INTERVAL: Duration = Duration::from_millis(20);

/// The status with which an admin listener answers.
///
/// # Errors
/// Nobody listens, or the connection ended before the answer did.
pub async fn status(admin: SocketAddr, path: &str) -> io::Result<u16> {
    let question = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    let asking = async {
        let mut socket = TcpStream::connect(admin).await?;
        socket.write_all(question.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await?;
        let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        status.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Asks processes again and again.
#[derive(Debug)]
pub struct HealthWatch {
    tasks: Vec<JoinHandle<Vec<Sample>>>,
    stop: watch::Sender<bool>,
}

/// What a process said at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was asked.
    pub at: Instant,
    /// Its answer on [`READY`]; `None` where there was none.
    pub ready: Option<u16>,
    /// Its answer on [`LIVE`].
    pub live: Option<u16>,
}

impl HealthWatch {
    /// Begins to ask the processes with these admin addresses.
    pub fn start(admins: impl IntoIterator<Item = SocketAddr>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let tasks = admins.into_iter().map(|admin| tokio::spawn(ask(admin, stopped.clone())));
        Self { tasks: tasks.collect(), stop }
    }

    /// Ends it, and returns what each process said.
    pub async fn end(self) -> Vec<Vec<Sample>> {
        // Fails only where all have ended, which the join below shows.
        let _ = self.stop.send(true);
        let mut all = Vec::new();
        for task in self.tasks {
            all.push(task.await.unwrap_or_else(|error| panic!("a watch panicked: {error}")));
        }
        all
    }
}

async fn ask(admin: SocketAddr, stopped: watch::Receiver<bool>) -> Vec<Sample> {
    let mut samples = Vec::new();
    while !*stopped.borrow() {
        let at = Instant::now();
        let (ready, live) = tokio::join!(status(admin, READY), status(admin, LIVE));
        samples.push(Sample { at, ready: ready.ok(), live: live.ok() });
        tokio::time::sleep(INTERVAL).await;
    }
    samples
}
