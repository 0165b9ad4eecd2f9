//! One of several processes that serve the same log. It keeps its addresses when it is started again.

use std::{net::SocketAddr, process::ExitStatus, time::Duration};

use crate::{
    Request, TestHub, patiently,
    process::{HubProcess, ProcessOptions, log_tail, text},
};

/// A process among several on one log.
#[derive(Debug)]
pub struct Node {
    options: ProcessOptions,
    process: Option<HubProcess>,
}

impl Node {
    /// Starts one and waits until it is ready.
    pub async fn start(options: ProcessOptions) -> Self {
        let process = Some(HubProcess::start(&options).await);
        Self { options, process }
    }

    /// Starts one without waiting for it.
    pub fn spawn(options: ProcessOptions) -> Self {
        let process = Some(HubProcess::spawn(&options));
        Self { options, process }
    }

    /// Starts one that is PID 1 in a namespace of its own, as in a container. It can be killed, and not be told to stop.
    pub async fn start_in_a_namespace(mut options: ProcessOptions) -> Self {
        let arguments = ["--pid", "--mount", "--fork", "--kill-child"].map(str::to_owned);
        let program = std::mem::replace(&mut options.program, "unshare".into());
        options.arguments.splice(0..0, arguments.into_iter().chain([text(&program).to_owned()]));
        Self::start(options).await
    }

    /// The hub that it runs, or ran.
    pub fn hub(&self) -> TestHub {
        TestHub::new(self.options.address, Some(self.options.admin), true)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.running().pid()
    }

    /// Ends it without a warning (SIGKILL).
    pub async fn kill(&mut self) {
        self.take().kill().await;
        // In a namespace it is the child of what was killed, and may outlive it for a moment.
        patiently("the end of the killed program", async {
            while tokio::net::TcpStream::connect(self.options.admin).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Starts it again after its end, and waits until it is ready.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.process = Some(HubProcess::start(&self.options).await);
    }

    /// Waits until it says that it is ready.
    pub async fn wait_until_ready(&mut self) {
        let process = self.process.as_mut().unwrap_or_else(|| panic!("it does not run"));
        process.wait_until_ready().await;
    }

    /// Stops it where it is (SIGSTOP).
    pub fn pause(&self) {
        self.running().pause();
    }

    /// Lets it go on (SIGCONT).
    pub fn go_on(&self) {
        self.running().go_on();
    }

    /// The end of what it logged, in this life and earlier ones.
    pub fn log_tail(&self) -> String {
        log_tail(&self.options.directory)
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        self.take().terminate().await
    }

    /// As [`Self::stop`], for good.
    pub async fn terminate(mut self) -> ExitStatus {
        self.stop().await
    }

    /// Waits until it says that it is not ready (and does not mind if it is gone by then).
    pub async fn is_unready(admin: SocketAddr) {
        let waiting = async {
            while tokio::net::TcpStream::connect(admin).await.is_ok()
                && Request::new(admin, "GET", "/mercure/health/ready").send().await.status == 200
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        patiently("a process that is not ready", waiting).await;
    }

    fn running(&self) -> &HubProcess {
        self.process.as_ref().unwrap_or_else(|| panic!("it does not run"))
    }

    fn take(&mut self) -> HubProcess {
        self.process.take().unwrap_or_else(|| panic!("it does not run"))
    }
}
