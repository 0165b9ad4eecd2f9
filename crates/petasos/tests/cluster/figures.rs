//! What a log on a server costs, beside the embedded store: the table of `scripts/bench-engines`. It drives nodes of this
//! very machine with `petasos bench`, one engine after the other, and is only worth something on a quiet one.

use std::{net::SocketAddr, path::Path, time::Duration};

use petasos_testkit::{
    hub::{ISSUER, PUBLISHER_SECRET},
    process::{command, scratch, text},
    within,
};
use serde_json::Value;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    cluster::Cluster,
    common::{PROGRAM, count_from_environment},
    engine::Engine,
};

/// How long each figure is measured.
const BENCH_SECONDS: usize = 10;

/// Events of the history from whose beginning is resumed.
const BENCH_EVENTS: usize = 100_000;

/// Subscribers of the fan-out, and updates a second.
const SUBSCRIBERS: usize = 500;
const RATE: usize = 50;

/// How long one bench may take; filling a history takes longest.
const BENCH_LIMIT: Duration = Duration::from_secs(1800);

/// A row of the table: what is measured, and where it stands in which run.
struct Row {
    title: &'static str,
    values: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "only worth something on a quiet machine: scripts/bench-engines runs it"]
async fn figures_of_every_engine() {
    let wanted = std::env::var("ENGINES").unwrap_or_default();
    let engines =
        Engine::ALL.into_iter().filter(|engine| wanted.is_empty() || wanted.contains(engine.name()));
    let mut rows: Vec<Row> = Vec::new();
    let mut names = Vec::new();
    for engine in engines {
        let figures = measure(engine).await;
        if rows.is_empty() {
            rows.extend(figures.iter().map(|(title, _)| Row { title, values: Vec::new() }));
        }
        for (row, (_, value)) in rows.iter_mut().zip(figures) {
            row.values.push(value);
        }
        names.push(engine.name());
    }
    println!("\n| what | {} |", names.join(" | "));
    println!("| --- |{}", " --- |".repeat(names.len()));
    for Row { title, values } in rows {
        println!("| {title} | {} |", values.join(" | "));
    }
}

async fn measure(engine: Engine) -> Vec<(&'static str, String)> {
    eprintln!("== {}, load average before {}", engine.name(), load_average());
    let mut cluster = Cluster::without_nodes(engine).await;
    let url = cluster.url();
    for number in 0..2 {
        // As in production: no proxy, and the usual lease and heartbeat.
        let variables = [
            ("PETASOS_TRANSPORT_URL", url.as_str()),
            ("PETASOS_SUBSCRIBER_JWT_KEY", PUBLISHER_SECRET),
            ("PETASOS_SUBSCRIPTIONS", "false"),
            // So that a resume from far back is answered by the engine, and not from memory.
            ("PETASOS_RECENT", "4MiB"),
            ("PETASOS_LEASE", "15s"),
            ("PETASOS_HEARTBEAT", "40s"),
        ];
        let options = cluster.options(number, &variables);
        cluster.nodes.push(petasos_testkit::node::Node::start(options).await);
    }
    let (here, there) = (&cluster.nodes[0], &cluster.nodes[1]);
    let bench = Bench::new(here.pid());
    let seconds = count_from_environment("BENCH_SECONDS", BENCH_SECONDS).to_string() + "s";
    let times = ["--duration", &seconds, "--warmup", "1s"];

    let alone = bench.run(here.hub().address(), "publish", &[&times[..], &["-p", "1"]].concat()).await;
    let many = bench.run(here.hub().address(), "publish", &[&times[..], &["-p", "64"]].concat()).await;
    let half = (many.number("publishes_per_second") / 2.0).max(1.0).round().to_string();
    let paced = [&times[..], &["-p", "16", "-s", "1", "-r", &half]].concat();
    let (address, _same) = split(here.hub().address(), here.hub().address()).await;
    let same = bench.run(address, "publish", &paced).await;
    let (address, _other) = split(here.hub().address(), there.hub().address()).await;
    let other = bench.run(address, "publish", &paced).await;
    let subscribers = count_from_environment("BENCH_SUBSCRIBERS", SUBSCRIBERS).to_string();
    let rate = RATE.to_string();
    let fanout = [&times[..], &["-s", &subscribers, "-r", &rate]].concat();
    let fanout = bench.run(here.hub().address(), "fanout", &fanout).await;
    let back = count_from_environment("BENCH_EVENTS", BENCH_EVENTS);
    let (events, back) = ((back + 100).to_string(), back.to_string());
    let distances = format!("10,{back}");
    let resume = ["--events", &events, "--back", &distances];
    let resume = bench.run(here.hub().address(), "resume", &resume).await;
    let figures = vec![
        ("publishes/s, 1 publisher", alone.plain("publishes_per_second")),
        ("… one publish takes, p50; p99", alone.pair("publish_p50_us", "publish_p99_us")),
        ("publishes/s, 64 publishers", many.plain("publishes_per_second")),
        ("… CPU of the hub per publish", many.time("cpu_per_publish_us")),
        (
            "publish to receipt on the same node, half load, p50; p99",
            same.pair("delivery_p50_us", "delivery_p99_us"),
        ),
        (
            "publish to receipt on another node, half load, p50; p99",
            other.pair("delivery_p50_us", "delivery_p99_us"),
        ),
        ("resume from 10 back, first event", resume.time("first_event_from_10_back_us")),
        ("resume from 100,000 back, first event", resume.time(&format!("first_event_from_{back}_back_us"))),
        ("replay, events/s", resume.plain("replayed_per_second")),
        ("CPU per delivery, fan-out to 500 at 50/s", fanout.time("cpu_per_delivery_us")),
    ];
    eprintln!("== {}, load average after {}", engine.name(), load_average());
    cluster.stop().await;
    figures
}

fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

/// Runs `petasos bench` on nodes that run already.
struct Bench {
    directory: tempfile::TempDir,
    pid: String,
}

/// The medians of a run.
struct Medians(Value);

impl Bench {
    fn new(pid: u32) -> Self {
        let directory = scratch();
        // Of publishers and subscribers: the bench mints the tokens of both with one key.
        std::fs::write(directory.path().join("key"), PUBLISHER_SECRET).unwrap();
        Self { directory, pid: pid.to_string() }
    }

    async fn run(&self, hub: SocketAddr, scenario: &str, arguments: &[&str]) -> Medians {
        let (json, key) = (self.path("result.json"), self.path("key"));
        let running = command(PROGRAM)
            .args(["bench", scenario, "--quiet", "--url", &format!("http://{hub}")])
            .args(["--issuer", ISSUER, "--key-file", text(&key), "--pid", &self.pid, "--json", text(&json)])
            .args(arguments)
            .output();
        let output = within(BENCH_LIMIT, "the end of a bench", running).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        eprintln!("{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "petasos bench {scenario} {arguments:?} failed");
        let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
        Medians(report["medians"][0]["figures"].clone())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.directory.path()).join(name)
    }
}

impl Medians {
    fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    fn plain(&self, name: &str) -> String {
        format!("{:.0}", self.number(name))
    }

    fn time(&self, name: &str) -> String {
        match self.number(name) {
            long if long >= 1e6 => format!("{:.1} s", long / 1e6),
            middle if middle >= 1e3 => format!("{:.1} ms", middle / 1e3),
            short => format!("{short:.1} µs"),
        }
    }

    fn pair(&self, one: &str, other: &str) -> String {
        format!("{}; {}", self.time(one), self.time(other))
    }
}

/// One address for two nodes: what publishes goes to one, what subscribes to the other.
async fn split(publishers: SocketAddr, subscribers: SocketAddr) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut first = [0];
                let publishes = client.peek(&mut first).await.is_ok() && first == *b"P";
                let node = if publishes { publishers } else { subscribers };
                let Ok(mut server) = TcpStream::connect(node).await else { return };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, tasks)
}
