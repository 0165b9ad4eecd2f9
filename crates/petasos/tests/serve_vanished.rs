//! A client whose network vanishes without a word is gone within 30 s (E08), however its connection was used before.
//!
//! The hub and its client live in two network namespaces on a bridge in a third; cutting the client's cable loses every
//! packet in silence. That needs root and iproute2, so it is run by hand:
//! `cargo test -p petasos --test serve_vanished -- --ignored`.

mod serve_support;

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// In the namespaces only; nothing of the machine's own network is touched.
const HUB: &str = "10.77.0.1";
const CLIENT: &str = "10.77.0.2";

/// Three namespaces that go away with this value.
struct Network {
    hub: String,
    bridge: String,
    client: String,
}

impl Network {
    fn new(name: &str) -> Self {
        let named = |part| format!("petasos-{}-{name}-{part}", std::process::id());
        let network = Self { hub: named("hub"), bridge: named("bridge"), client: named("client") };
        for namespace in [&network.hub, &network.bridge, &network.client] {
            ip(&["netns", "add", namespace]);
        }
        ip(&["-n", &network.bridge, "link", "add", "bridge", "type", "bridge"]);
        ip(&["-n", &network.bridge, "link", "set", "bridge", "up"]);
        for (namespace, cable, address) in [(&network.hub, "hub", HUB), (&network.client, "client", CLIENT)] {
            let bridge = &network.bridge;
            ip(&[
                "-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", cable, "netns",
                bridge,
            ]);
            ip(&["-n", bridge, "link", "set", cable, "master", "bridge", "up"]);
            ip(&["-n", namespace, "addr", "add", &format!("{address}/24"), "dev", "eth0"]);
            ip(&["-n", namespace, "link", "set", "eth0", "up"]);
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
        }
        network
    }

    fn command(namespace: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, program]).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn cut_the_clients_cable(&self) {
        ip(&["-n", &self.bridge, "link", "set", "client", "down"]);
    }

    /// Streams that the hub believes to be open.
    fn connected(&self) -> u32 {
        let script = "exec curl -s http://127.0.0.1:2019/metrics";
        let mut ask = Self::command(&self.hub, "sh");
        let output = ask.args(["-c", script]).stdout(Stdio::piped()).output().expect("started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let count = text.lines().find_map(|line| line.strip_prefix("mercure_subscribers_connected "));
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    fn wait_for(&self, connected: u32, limit: Duration) -> Duration {
        let begun = Instant::now();
        while self.connected() != connected {
            assert!(begun.elapsed() < limit, "{} instead of {connected} after {limit:?}", self.connected());
            std::thread::sleep(Duration::from_millis(100));
        }
        begun.elapsed()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.hub, &self.bridge, &self.client] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("iproute2 is installed");
    assert!(status.success(), "ip {arguments:?}: {status}");
}

/// A child that is killed with the test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn vanishes(name: &str, heartbeat: &str) {
    let network = Network::new(name);
    let directory = tempfile::tempdir().expect("a directory");
    let mut hub = Network::command(&network.hub, env!("CARGO_BIN_EXE_petasos"));
    hub.current_dir(directory.path()).stderr(Stdio::null()).envs([
        ("PETASOS_LISTEN", format!("{HUB}:3000")),
        ("PETASOS_ANONYMOUS", "true".to_owned()),
        ("PETASOS_ANONYMOUS_PUBLISH", "true".to_owned()),
        ("PETASOS_TRANSPORT_URL", "local://".to_owned()),
        ("PETASOS_HEARTBEAT", heartbeat.to_owned()),
        ("PETASOS_PEER_TIMEOUT", "30s".to_owned()),
    ]);
    let _hub = Killed(hub.spawn().expect("started"));
    let url = format!("http://{HUB}:3000/.well-known/mercure?match=a");
    let clients: Vec<_> = ["--http1.1", "--http2-prior-knowledge"]
        .into_iter()
        .map(|protocol| {
            let mut client = Network::command(&network.client, "curl");
            client.args([
                "-sN",
                "--retry",
                "20",
                "--retry-connrefused",
                "--retry-delay",
                "1",
                protocol,
                &url,
            ]);
            Killed(client.spawn().expect("curl is installed"))
        })
        .collect();
    network.wait_for(2, Duration::from_secs(15));
    network.cut_the_clients_cable();
    let took = network.wait_for(0, Duration::from_secs(30));
    println!("{name}: gone after {took:?}");
    drop(clients);
}

#[test]
#[ignore = "needs root and iproute2, and takes half a minute"]
fn e08_a_vanished_client_of_a_silent_stream_is_gone_within_thirty_seconds() {
    vanishes("silent", "0s");
}

#[test]
#[ignore = "needs root and iproute2, and takes half a minute"]
fn e08_a_vanished_client_that_is_written_to_is_gone_within_thirty_seconds() {
    vanishes("busy", "1s");
}

#[test]
#[ignore = "needs root and iproute2, and takes half a minute"]
fn e08_a_vanished_client_that_is_written_to_late_is_gone_within_thirty_seconds() {
    // The first byte that is lost comes just before the probes would have found out.
    vanishes("late", "12s");
}
