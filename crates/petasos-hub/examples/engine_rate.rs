//! How fast a log is, without a hub: appends by one caller and by many at once, and how soon a tail has them.
//!
//! ```sh
//! cargo run --release -p petasos-hub --all-features --example engine_rate -- redis://127.0.0.1:6379?prefix=rate
//! ```
//!
//! More arguments are the numbers of callers (1 and 64), the seconds of each run (5) and the bytes of data (128). The log
//! grows by what is appended; take one of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use petasos_hub::{
    Update,
    transport::{
        Append, AttemptId, ErrorKind, Retention, Transport,
        remote::{Address, RemoteConfig},
    },
};

const TOPIC: &str = "https://example.com/books/1";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(url) = arguments.first() else {
        eprintln!("usage: engine_rate URL [CALLERS,CALLERS… [SECONDS [BYTES]]]");
        std::process::exit(2);
    };
    let callers = arguments.get(1).map_or("1,64", String::as_str);
    let seconds = arguments.get(2).and_then(|text| text.parse().ok()).unwrap_or(5);
    let bytes = arguments.get(3).and_then(|text| text.parse().ok()).unwrap_or(128);
    let log = open(url).await.unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(1);
    });
    println!("{}, an acknowledged append survives: {:?}", log.info().location, log.info().durability);
    for callers in callers.split(',').filter_map(|text| text.parse().ok()) {
        measure(&log, callers, Duration::from_secs(seconds), bytes).await;
    }
    log.close().await;
}

async fn open(url: &str) -> Result<Arc<dyn Transport>, String> {
    let address = Address::parse(url)?;
    let config = RemoteConfig { address, retention: Some(Retention::default()) };
    match config.address.scheme.as_str() {
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "valkey" | "valkeys" => {
            use petasos_hub::transport::redis::{RedisConfig, RedisTransport};
            let log = RedisTransport::open(RedisConfig::new(&config)?).await;
            log.map(|log| Arc::new(log) as _).map_err(|error| error.to_string())
        }
        #[cfg(feature = "nats")]
        "nats" | "tls" => {
            use petasos_hub::transport::nats::{NatsConfig, NatsTransport};
            let log = NatsTransport::open(NatsConfig::new(&config)?).await;
            log.map(|log| Arc::new(log) as _).map_err(|error| error.to_string())
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            use petasos_hub::transport::postgres::{PostgresConfig, PostgresTransport};
            let log = PostgresTransport::open(PostgresConfig::new(&config)?).await;
            log.map(|log| Arc::new(log) as _).map_err(|error| error.to_string())
        }
        scheme => Err(format!("{scheme}:// is not part of this build, or runs on no server")),
    }
}

/// One run: how many appends a second, and how long they and the tail took.
async fn measure(log: &Arc<dyn Transport>, callers: usize, length: Duration, bytes: usize) {
    let begin = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let head = log.head().await.unwrap_or_default();
    let mut tail = log.tail(head.position);
    let following = tokio::spawn(async move {
        let mut delays = Vec::new();
        loop {
            match tail.next().await {
                Ok(events) => {
                    let now = begin.elapsed();
                    for event in events {
                        let Some((sent, _)) = event.update.data().split_once(' ') else { return delays };
                        let sent = Duration::from_nanos(sent.parse().unwrap_or_default());
                        delays.push(now.saturating_sub(sent));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Closed => return delays,
                Err(error) => eprintln!("{error}"),
            }
        }
    });
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (log, stop) = (Arc::clone(log), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut delays = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let sent = begin.elapsed();
                    let data = format!("{} ", sent.as_nanos());
                    let data = format!("{data}{}", "x".repeat(bytes.saturating_sub(data.len())));
                    match log.append(AttemptId::new(), vec![entry(data)]).await {
                        Ok(_) => delays.push(begin.elapsed().saturating_sub(sent)),
                        Err(error) => eprintln!("{error}"),
                    }
                }
                delays
            })
        })
        .collect();
    tokio::time::sleep(length).await;
    stop.store(true, Ordering::Relaxed);
    let mut appends = Vec::new();
    for task in tasks {
        appends.extend(task.await.unwrap_or_default());
    }
    let elapsed = begin.elapsed();
    // Without a time: the end.
    let _ = log.append(AttemptId::new(), vec![entry("end".to_owned())]).await;
    let delays = following.await.unwrap_or_default();
    let rate = appends.len() as f64 / elapsed.as_secs_f64();
    println!(
        "{callers:>4} callers, {bytes} bytes: {rate:>8.0} appends/s; acknowledged after {}; in the tail after {}",
        quantiles(appends),
        quantiles(delays)
    );
}

fn entry(data: String) -> Append {
    let id = uuid::Uuid::new_v4().urn().to_string();
    let update = Update::from_stored(id, vec![TOPIC.to_owned()], data, false, None, None);
    Append { update: Arc::new(update), presence: None }
}

fn quantiles(mut delays: Vec<Duration>) -> String {
    delays.sort_unstable();
    let at = |part: f64| delays.get((delays.len() as f64 * part) as usize).copied().unwrap_or_default();
    format!("p50 {:.2?}, p99 {:.2?}", at(0.5), at(0.99))
}
