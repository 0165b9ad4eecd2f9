//! A hub in a small container: 256 MiB for its memory and its sockets, a tenth of its subscribers never read, and updates
//! come as fast as they are taken.

use std::io::{Read, Write};

use petasos_testkit::process::{HubProcess, scratch};

use super::{bench, cgroup::MemoryLimit, figure};
use crate::common::{count_from_environment, process_options};

const LIMIT_BYTES: u64 = 256 << 20;

/// What docs/performance.md says of memory, for this container: some 40 MiB for the program, the recent events, all
/// backlogs, and for each subscriber twice its send buffer and a kilobyte.
const OPTIONS: [(&str, &str); 6] = [
    ("PETASOS_RECENT", "8MiB"),
    ("PETASOS_BACKLOG", "256KiB"),
    ("PETASOS_BACKLOG_TOTAL", "32MiB"),
    ("PETASOS_SEND_BUFFER", "8KiB"),
    ("PETASOS_ANONYMOUS", "true"),
    ("PETASOS_ANONYMOUS_PUBLISH", "true"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_in_256_mebibytes_survives_readers_that_never_read() {
    let subscribers = count_from_environment("BOUNDED_SUBSCRIBERS", 1_000);
    let seconds = count_from_environment("BOUNDED_SECONDS", 5);
    let directory = scratch();
    let mut options = process_options(directory.path());
    options.environment.extend(OPTIONS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let limit = MemoryLimit::new(LIMIT_BYTES);
    let hub = HubProcess::start(&options).await;
    limit.add(hub.pid());

    let idlers = subscribers / 10;
    let address = options.address;
    // As the bench's subscribers do, but nothing after the head is ever read.
    let request =
        format!("GET /.well-known/mercure?match=*&match_urlpattern=* HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let never_reading: Vec<_> = (0..idlers)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.read_exact(&mut [0; 12]).unwrap();
            stream
        })
        .collect();
    let (url, pid) = (format!("http://{address}/.well-known/mercure"), hub.pid().to_string());
    let (reading, seconds) = ((subscribers - idlers).to_string(), format!("{seconds}s"));
    let result = tokio::task::block_in_place(|| {
        let _told = Told(&hub);
        bench(&[
            "fanout",
            "--url",
            &url,
            "--pid",
            &pid,
            "-s",
            &reading,
            "-p",
            "16",
            "-r",
            "0",
            "--size",
            "1024",
            "--duration",
            &seconds,
        ])
    });
    let slow = hub.hub().counted("petasos_disconnects_total{reason=\"slow_reader\"}").await;
    assert_eq!(slow, idlers as u64, "those who never read are disconnected, and nobody else");
    let peak_mib = limit.peak_bytes() >> 20;
    println!(
        "{subscribers} subscribers, {idlers} of them never read: peak {peak_mib} MiB, {:.0} deliveries/s",
        figure(&result, "deliveries_per_second"),
    );
    assert!(limit.peak_bytes() <= LIMIT_BYTES, "{peak_mib} MiB");
    drop(never_reading);
    hub.kill().await;
}

/// Shows what the hub has to say where the test fails.
struct Told<'a>(&'a HubProcess);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0.log_tail());
        }
    }
}
