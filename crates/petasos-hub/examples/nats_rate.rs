//! What a client of NATS reaches without a hub: messages with ids published to a stream by one caller and by many at once, each
//! waiting for its acknowledgement. To be run beside `engine_rate`, on the same server.
//!
//! ```sh
//! cargo run --release -p petasos-hub --features nats --example nats_rate -- 127.0.0.1:4222
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, jetstream};

#[tokio::main]
async fn main() -> Result<(), async_nats::Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let server = arguments.first().map_or("127.0.0.1:4222", String::as_str);
    let callers = arguments.get(1).map_or("1,64", String::as_str);
    let seconds = arguments.get(2).and_then(|text| text.parse().ok()).unwrap_or(5);
    let bytes = arguments.get(3).and_then(|text| text.parse().ok()).unwrap_or(128);
    let context = jetstream::new(Box::pin(async_nats::connect(server)).await?);
    let stream = jetstream::stream::Config {
        name: "plain".into(),
        subjects: vec!["plain.log.*".into()],
        max_messages: 1_000_000,
        max_bytes: 1 << 30,
        ..Default::default()
    };
    context.create_stream(stream).await?;
    for callers in callers.split(',').filter_map(|text| text.parse().ok()) {
        measure(&context, callers, Duration::from_secs(seconds), bytes).await;
    }
    context.delete_stream("plain").await?;
    Ok(())
}

async fn measure(context: &jetstream::Context, callers: usize, length: Duration, bytes: usize) {
    let stop = Arc::new(AtomicBool::new(false));
    let begin = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (context, stop) = (context.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut delays = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let id = uuid::Uuid::new_v4();
                    let mut headers = HeaderMap::new();
                    headers.insert("Nats-Msg-Id", id.simple().to_string());
                    let subject = format!("plain.log.{:x}", id.as_u128() % (1 << 18));
                    let sending = context.publish_with_headers(subject, headers, vec![b'x'; bytes].into());
                    let stored = async { sending.await?.await };
                    match stored.await {
                        Ok(_) => delays.push(sent.elapsed()),
                        Err(error) => eprintln!("{error}"),
                    }
                }
                delays
            })
        })
        .collect();
    tokio::time::sleep(length).await;
    stop.store(true, Ordering::Relaxed);
    let mut delays = Vec::new();
    for task in tasks {
        delays.extend(task.await.unwrap_or_default());
    }
    let rate = delays.len() as f64 / begin.elapsed().as_secs_f64();
    delays.sort_unstable();
    let at = |part: f64| delays.get((delays.len() as f64 * part) as usize).copied().unwrap_or_default();
    println!(
        "{callers:>4} callers, {bytes} bytes: {rate:>8.0} messages/s; acknowledged after p50 {:.2?}, p99 {:.2?}",
        at(0.5),
        at(0.99)
    );
}
