//! The real program: signals, exit codes, file descriptors, sockets from a service manager, and what it prints.

mod serve_support;

use std::{
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use petasos_testkit::{
    Connection, TestHub, matching, patiently,
    process::{ProcessOptions, command, free_address, scratch},
    topic,
};
use rustix::process::{Pid, Signal, kill_process};
use serve_support::program;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

/// A child of this test, with its standard error to read.
struct Running {
    child: Child,
    log: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
    options: ProcessOptions,
}

impl Running {
    /// Starts the program as `options` say, by way of `sh -c` with this script, in which `"$0" "$@"` is the program.
    fn start_by(script: &str, options: ProcessOptions) -> Self {
        Self::start_with(script, options, Stdio::null())
    }

    fn start_with(script: &str, options: ProcessOptions, stdin: Stdio) -> Self {
        let mut child = command("sh")
            .args(["-c", script])
            .arg(&options.program)
            .args(&options.arguments)
            .envs(options.environment.iter().cloned())
            .current_dir(&options.directory)
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let log = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, log, options }
    }

    async fn start(options: ProcessOptions) -> Self {
        let mut running = Self::start_by(r#"exec "$0" "$@""#, options);
        running.says("serving").await;
        running
    }

    /// Reads its log up to a line with this text, and returns the line.
    async fn says(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let line = patiently(text, async {
            while let Some(line) = self.log.next_line().await.expect("text") {
                if line.contains(text) {
                    return Some(line);
                }
                seen.push(line);
            }
            None
        });
        line.await.unwrap_or_else(|| panic!("it ended without saying {text:?}: {seen:#?}"))
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("running");
        kill_process(pid, signal).expect("signalled");
    }

    async fn exit_code(mut self) -> Option<i32> {
        // A full pipe would hold it up.
        let drain = tokio::spawn(async move { while let Ok(Some(_)) = self.log.next_line().await {} });
        let status = patiently("the exit", self.child.wait()).await.expect("waited");
        drain.abort();
        status.code()
    }

    fn hub(&self) -> TestHub {
        TestHub::new(self.options.address, Some(self.options.admin), true)
    }
}

fn set(options: &mut ProcessOptions, name: &str, value: &str) {
    options.environment.retain(|(known, _)| known != name);
    options.environment.push((name.to_owned(), value.to_owned()));
}

async fn run(options: &ProcessOptions, arguments: &[&str]) -> Output {
    let output = command(&options.program)
        .args(arguments)
        .envs(options.environment.iter().cloned())
        .current_dir(&options.directory)
        .output();
    patiently("the end of the program", output).await.expect("started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn sigterm_and_sigint_stop_it_gracefully() {
    for signal in [Signal::TERM, Signal::INT] {
        let directory = scratch();
        let mut options = program(directory.path());
        set(&mut options, "PETASOS_DRAIN_TIMEOUT", "500ms");
        let running = Running::start(options).await;
        let mut stream = running.hub().subscribe(matching("a")).without_token().await;
        running.signal(signal);
        stream.ends_cleanly().await;
        drop(stream);
        assert_eq!(running.exit_code().await, Some(0));
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let directory = scratch();
    let mut options = program(directory.path());
    set(&mut options, "PETASOS_SHUTDOWN_DELAY", "60s");
    let mut running = Running::start(options).await;
    let _stream = running.hub().subscribe(matching("a")).without_token().await;
    running.signal(Signal::TERM);
    running.says("stopping").await;
    let begun = Instant::now();
    running.signal(Signal::INT);
    assert_eq!(running.exit_code().await, Some(1));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_log_that_is_not_there_is_waited_for_and_nobody_is_listened_to() {
    let directory = scratch();
    let options = program(directory.path());
    // The store needs a file of this name.
    std::fs::create_dir(directory.path().join("petasos.db-bell")).expect("created");
    let mut running = Running::start_by(r#"exec "$0" "$@""#, options);
    let told = running.says("the log cannot be opened").await;
    assert!(told.contains("petasos.db-bell"), "{told}");
    let hub = running.hub();
    hub.admin_get("/mercure/health/live").await.expect(200);
    let unready = hub.admin_get("/mercure/health/ready").await.expect(503);
    assert!(unready.text().contains("the log cannot be opened"), "{}", unready.text());
    assert!(Connection::try_open(hub.address()).await.is_err(), "c01: somebody listens");

    std::fs::remove_dir(directory.path().join("petasos.db-bell")).expect("removed");
    running.says("serving").await;
    hub.admin_get("/mercure/health/ready").await.expect(200);
    hub.publish(topic("a"), "1").without_token().await;
}

#[tokio::test]
async fn it_can_be_stopped_while_it_waits() {
    let directory = scratch();
    let options = program(directory.path());
    // The store needs a file of this name.
    std::fs::create_dir(directory.path().join("petasos.db-bell")).expect("created");
    let mut running = Running::start_by(r#"exec "$0" "$@""#, options);
    running.says("the log cannot be opened").await;
    running.signal(Signal::TERM);
    assert_eq!(running.exit_code().await, Some(0));
}

#[tokio::test]
async fn out_of_file_descriptors_streams_go_on_nothing_spins_and_it_recovers() {
    let directory = scratch();
    let options = program(directory.path());
    let mut running = Running::start_by(r#"ulimit -n 64; exec "$0" "$@""#, options);
    running.says("serving").await;
    let hub = running.hub();
    let mut stream = hub.subscribe(matching("a")).without_token().await;
    let mut publisher = Connection::open(hub.address()).await;
    publish(&mut publisher, "before").await;
    assert_eq!(stream.next_data().await, "before");

    // The kernel completes all of these; the hub can accept some of them.
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(tokio::net::TcpStream::connect(hub.address()).await.expect("queued"));
    }
    running.says("connections cannot be accepted").await;
    let busy_before = processor_ticks(&running);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        publish(&mut publisher, "meanwhile").await;
        assert_eq!(stream.next_data().await, "meanwhile");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let busy = processor_ticks(&running) - busy_before;
    assert!(busy < 100, "it used {busy} hundredths of a second in two seconds");

    drop(crowd);
    patiently("recovery", async { hub.get("/healthz").send().await.expect(200) }).await;
    let metrics = hub.admin_get("/metrics").await.expect(200);
    let errors = metrics.text().lines().find_map(|line| line.strip_prefix("petasos_accept_errors_total "));
    let errors: u64 = errors.and_then(|count| count.parse().ok()).expect("counted");
    assert!((1..200).contains(&errors), "{errors} attempts");
}

async fn publish(connection: &mut Connection, data: &str) {
    let body = format!("topic=a&data={data}");
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: hub\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}",
        petasos_testkit::HUB_PATH,
        body.len()
    );
    connection.send(format!("{head}\r\n\r\n{body}")).await;
    let head = connection.head().await;
    assert_eq!(head.status, 200);
    connection.body(&head).await;
}

/// Hundredths of a second of processor time.
fn processor_ticks(running: &Running) -> u64 {
    let path = format!("/proc/{}/stat", running.child.id().expect("running"));
    let stat = std::fs::read_to_string(path).expect("readable");
    let fields: Vec<_> = stat.rsplit_once(')').expect("a name").1.split_ascii_whitespace().collect();
    fields[11].parse::<u64>().expect("a number") + fields[12].parse::<u64>().expect("a number")
}

#[tokio::test]
async fn sighup_reloads_certificates_and_keys() {
    let directory = scratch();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
    let certificate = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        write("tls.key", &made.signing_key.serialize_pem());
        write("tls.crt", &made.cert.pem());
    };
    certificate();
    write("secret", "the first secret, of more than 32 bytes");
    let mut options = program(directory.path());
    options.environment.retain(|(name, _)| !name.starts_with("PETASOS_ANONYMOUS"));
    set(&mut options, "PETASOS_TLS_CERT", "tls.crt");
    set(&mut options, "PETASOS_TLS_KEY", "tls.key");
    write(
        "petasos.toml",
        "[[issuers]]\nid = \"https://issuer.example\"\npublisher = { jwt_key_file = \"secret\" }\n",
    );
    let mut running = Running::start(options).await;
    certificate();
    write("secret", "the second secret, of more than 32 bytes");
    running.signal(Signal::HUP);
    running.says("certificate reloaded").await;
    running.says("keys reloaded").await;
    running.signal(Signal::TERM);
    assert_eq!(running.exit_code().await, Some(0));
}

/// The line at start says how to leave the mode; a reload does as it says, and does not do the reverse.
#[tokio::test]
async fn l08_sighup_ends_version_0x_and_does_not_begin_it() {
    let directory = scratch();
    let write = |text: &str| std::fs::write(directory.path().join("petasos.toml"), text).expect("written");
    let key = "publisher_jwt_key = 'the first secret, of more than 32 bytes'\n";
    let unnamed = format!("[auth]\nanonymous = true\n{key}");
    write(&unnamed);
    let mut options = program(directory.path());
    options.environment.retain(|(name, _)| !name.starts_with("PETASOS_ANONYMOUS"));
    let mut running = Running::start(options).await;
    running.hub().get("/.well-known/mercure?topic=a").send().await.expect(200);
    write(&format!("{unnamed}issuer = ['https://issuer.example']\n"));
    running.signal(Signal::HUP);
    running.says("version 0.x of the protocol is served no more").await;
    running.says("keys reloaded").await;
    running.hub().get("/.well-known/mercure?topic=a").send().await.expect(400);
    write(&unnamed);
    running.signal(Signal::HUP);
    running.says("because keys are given and no issuer is named").await;
    running.says("a restart is needed").await;
    running.says("keys reloaded").await;
    running.hub().get("/.well-known/mercure?topic=a").send().await.expect(400);
    running.signal(Signal::TERM);
    assert_eq!(running.exit_code().await, Some(0));
}

#[tokio::test]
async fn what_cannot_be_started_says_why_and_exits_accordingly() {
    let directory = scratch();
    let mut options = program(directory.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();

    set(&mut options, "PETASOS_LISTEN", &address);
    let output = run(&options, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains(&format!("cannot listen on {address}")),
        "{}",
        text(&output.stderr)
    );

    set(&mut options, "PETASOS_LISTEN", "127.0.0.1:0");
    set(&mut options, "PETASOS_ADMIN_ADDRESS", &address);
    let output = run(&options, &["serve"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("PETASOS_ADMIN_ADDRESS"), "{}", text(&output.stderr));

    set(&mut options, "PETASOS_ADMIN_ADDRESS", "off");
    set(&mut options, "PETASOS_LOG_FILTER", "petasos=loud");
    let output = run(&options, &["serve"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));

    set(&mut options, "PETASOS_NO_SUCH_OPTION", "1");
    let output = run(&options, &["serve"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("PETASOS_NO_SUCH_OPTION"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn health_asks_the_hub_of_this_configuration_or_another() {
    let directory = scratch();
    let options = program(directory.path());
    let unanswered = run(&options, &["health"]).await;
    assert_eq!(unanswered.status.code(), Some(1), "{}", text(&unanswered.stderr));

    let mut running = Running::start(options.clone()).await;
    let url = format!("http://{}", options.admin);
    let healthz = format!("http://{}/healthz", options.address);
    for arguments in [
        &["health"][..],
        &["health", "--live"],
        &["health", "--url", &url],
        &["health", "--live", "--url", &url],
        &["health", "--url", &healthz],
    ] {
        let output = run(&options, arguments).await;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
    }
    // A configuration that is broken is no reason not to ask.
    let mut broken = options.clone();
    set(&mut broken, "PETASOS_NO_SUCH_OPTION", "1");
    assert_eq!(run(&broken, &["health", "--url", &url]).await.status.code(), Some(0));
    assert_eq!(run(&broken, &["health"]).await.status.code(), Some(2));
    let nowhere = run(&options, &["health", "--url", &format!("{url}/nowhere")]).await;
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("404"), "{}", text(&nowhere.stderr));
    running.signal(Signal::TERM);
    running.says("stopped").await;
}

#[tokio::test]
async fn the_service_manager_hands_over_sockets_and_is_told() {
    let directory = scratch();
    let mut options = program(directory.path());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    options.address = listener.local_addr().expect("an address");
    // What is configured is not used.
    set(&mut options, "PETASOS_LISTEN", &free_address().to_string());
    let manager = tokio::net::UnixDatagram::bind(directory.path().join("manager")).expect("a socket");
    set(&mut options, "NOTIFY_SOCKET", directory.path().join("manager").to_str().expect("UTF-8"));
    // The socket comes as the standard input and goes on as the first descriptor after the standard ones.
    let script = r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@""#;
    let mut running = Running::start_with(script, options, Stdio::from(std::os::fd::OwnedFd::from(listener)));
    running.says("serving").await;
    assert_eq!(told(&manager).await, "READY=1\n");
    running.hub().get("/healthz").send().await.expect(200);
    running.signal(Signal::HUP);
    let reloading = told(&manager).await;
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(told(&manager).await, "READY=1\n");
    running.signal(Signal::TERM);
    assert_eq!(told(&manager).await, "STOPPING=1\n");
    assert_eq!(running.exit_code().await, Some(0));
}

async fn told(manager: &tokio::net::UnixDatagram) -> String {
    let mut buffer = [0; 256];
    let count = patiently("news", manager.recv(&mut buffer)).await.expect("news");
    text(&buffer[..count])
}

#[tokio::test]
async fn two_processes_hand_over_one_port_without_turning_anybody_away() {
    let directory = scratch();
    let mut options = program(directory.path());
    set(&mut options, "PETASOS_REUSE_PORT", "true");
    set(&mut options, "PETASOS_SHUTDOWN_DELAY", "200ms");
    let first = Running::start(options.clone()).await;
    let address = options.address;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let clients = tokio::spawn(async move {
        let mut served = 0;
        while stopped.try_recv().is_err() {
            publish(&mut Connection::open(address).await, "hello").await;
            served += 1;
        }
        served
    });
    let mut second = Running::start_by(r#"exec "$0" "$@""#, options);
    second.says("the admin address is taken").await;
    second.says("serving").await;
    first.signal(Signal::TERM);
    assert_eq!(first.exit_code().await, Some(0));
    second.says("the admin listener answers").await;
    second.hub().admin_get("/mercure/health/ready").await.expect(200);
    stop.send(()).expect("the clients go on");
    assert!(clients.await.expect("nobody was turned away") > 10);
    second.signal(Signal::TERM);
    assert_eq!(second.exit_code().await, Some(0));
}

#[tokio::test]
async fn demo_mode_prints_lines_that_work() {
    let directory = scratch();
    let address = free_address();
    let mut child = command(env!("CARGO_BIN_EXE_petasos"))
        .arg("--dev")
        .env("PETASOS_LISTEN", format!("localhost:{}", address.port()))
        .env("PETASOS_ADMIN_ADDRESS", "off")
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut printed = String::new();
    patiently("the last line", async {
        while !printed.contains("nothing here is secret") {
            printed.push_str(&lines.next_line().await.expect("text").expect("a line"));
            printed.push('\n');
        }
    })
    .await;
    let line = |beginning: &str| {
        let found = printed.lines().map(str::trim).find(|line| line.starts_with(beginning));
        found.unwrap_or_else(|| panic!("no {beginning} in {printed}")).to_owned()
    };
    assert!(printed.contains("new EventSource('http://localhost:"), "{printed}");
    assert!(directory.path().join("petasos.db").exists(), "history in the working directory");

    // Pasted into a shell, as a person would.
    let shell = |script: String| {
        let mut shell = command("sh");
        shell.args(["-c", &script]).stdout(Stdio::piped()).stderr(Stdio::null());
        shell
    };
    let mut subscriber = shell(format!("exec {}", line("curl -N"))).spawn().expect("started");
    let mut events = BufReader::new(subscriber.stdout.take().expect("piped")).lines();
    // The first comment says that the stream is open.
    patiently("the stream", events.next_line()).await.expect("text").expect("a line");
    let publish = shell(format!("{}\n{} -s", line("TOKEN="), line("curl -H"))).output();
    let published = patiently("the publish", publish).await.expect("started");
    assert!(text(&published.stdout).starts_with("urn:uuid:"), "{}", text(&published.stdout));
    patiently("the update", async {
        while events.next_line().await.expect("text").expect("a line") != "data: hello" {}
    })
    .await;
}

#[tokio::test]
async fn the_program_describes_itself() {
    let directory = scratch();
    let options = program(directory.path());
    let version = run(&options, &["--version"]).await;
    assert!(text(&version.stdout).contains("engines: local"), "{}", text(&version.stdout));
    assert_eq!(text(&run(&options, &["-V"]).await.stdout).lines().count(), 1);
    let help = text(&run(&options, &["--help"]).await.stdout);
    for word in ["serve", "token", "publish", "subscribe", "check", "health", "Examples:", "--dev"] {
        assert!(help.contains(word), "no {word} in {help}");
    }
    let completions = run(&options, &["completions", "bash"]).await;
    assert!(completions.status.success() && text(&completions.stdout).contains("_petasos"));
    assert_eq!(run(&options, &["no-such-command"]).await.status.code(), Some(2));
}
