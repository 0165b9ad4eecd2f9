//! `petasos health`: asks a running hub whether it is well, for exec probes in images without a shell. Speaks just enough
//! HTTP/1.1 by itself, so that it starts in no time and needs neither threads nor certificates. `--round-trip` goes further
//! (see `round_trip`).

mod round_trip;

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{
    client::{console::say, exit::Exit},
    config::{self, ConfigArgs},
    serve::admin::{LIVE_PATH, READY_PATH},
};

/// The whole question must be answered in this time; usual probes wait for a second or more.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// An answer that is longer is not from a hub.
const MAX_ANSWER_BYTES: u64 = 16 << 10;

const EXAMPLES: &str = "\
Examples:
  petasos health                                   is the hub of this configuration ready?
  petasos health --live                            or would a restart help?
  petasos health --url http://127.0.0.1:2019       ask this admin listener
  petasos health --url http://hub:3000/healthz     ask exactly this
  petasos health --round-trip --url http://hub     publish to this hub, and receive

With --round-trip a private update is published and received, with tokens that are minted from the configured keys, or \
with the one in PETASOS_TOKEN. It stays in the history.

Exit codes: 0 healthy, 1 not healthy or no answer, 2 usage or configuration, 3 not authorized (--round-trip).";

/// Flags of `petasos health`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Whom to ask: an admin listener (`http://host:port`), or a whole URL. Default: the admin address of the
    /// configuration. With --round-trip the hub itself
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Ask whether it is alive instead of whether it is ready
    #[arg(long)]
    pub live: bool,
    /// Publish an update and wait until it comes back
    #[arg(long, conflicts_with = "live")]
    pub round_trip: bool,
    /// Do not check the certificate of the hub (only for --round-trip, in tests)
    #[arg(long, requires = "round_trip")]
    pub insecure: bool,
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    if args.round_trip {
        return match round_trip::run(&args) {
            Ok(text) => {
                say(text);
                Exit::Done
            }
            Err((exit, problem)) => {
                say(problem);
                exit
            }
        }
        .into();
    }
    let target = match target(&args) {
        Ok(target) => target,
        Err(problem) => {
            eprintln!("petasos: {problem}");
            return Exit::Usage.into();
        }
    };
    match ask(&target) {
        Ok(Answer { status: 200, .. }) => Exit::Done.into(),
        Ok(Answer { status, body }) => {
            eprintln!("petasos: {} answers {status}: {}", target.authority, body.trim());
            Exit::Failed.into()
        }
        Err(error) => {
            eprintln!("petasos: {} does not answer: {error}", target.authority);
            Exit::Failed.into()
        }
    }
}

/// Where to ask.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// `host:port`.
    authority: String,
    path: String,
}

/// The configuration is read only where it is needed: a probe that knows whom to ask does not fail because of it.
fn target(args: &Args) -> Result<Target, String> {
    let path = if args.live { LIVE_PATH } else { READY_PATH };
    let Some(url) = &args.url else {
        let config = config::load(&args.config).map_err(|errors| errors.to_string())?;
        let address = config.admin_address.ok_or("the admin listener is off: say whom to ask with --url")?;
        return Ok(Target { authority: reachable(&address), path: path.to_owned() });
    };
    let wrong = || format!("--url {url:?} is no address to ask: write http://host:port");
    let rest = match url.split_once("://") {
        None => url,
        Some(("http", rest)) => rest,
        Some(_) => return Err(format!("--url {url:?}: only http is spoken here, as by the admin listener")),
    };
    let (authority, given_path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if authority.is_empty() || authority.contains('@') || !is_plain(rest) {
        return Err(wrong());
    }
    let path = if given_path.len() > 1 { given_path } else { path };
    Ok(Target { authority: reachable(authority), path: path.to_owned() })
}

/// Where a listener on all interfaces is reached from here, and the port that is meant where none is written.
fn reachable(address: &str) -> String {
    let has_port =
        address.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let address = if has_port { address.to_owned() } else { format!("{address}:80") };
    for everywhere in ["0.0.0.0:", "[::]:", "*:", ":"] {
        if let Some(port) = address.strip_prefix(everywhere) {
            return format!("localhost:{port}");
        }
    }
    address
}

struct Answer {
    status: u16,
    body: String,
}

fn ask(target: &Target) -> Result<Answer, String> {
    let deadline = Instant::now() + TIME_LIMIT;
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err("no answer in time".to_owned()) } else { Ok(left) }
    };
    let mut stream = connect(target, left)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: petasos-health\r\nConnection: close\r\n\r\n",
        target.path, target.authority
    );
    let in_words = |error: std::io::Error| error.to_string();
    stream.set_write_timeout(Some(left()?)).map_err(in_words)?;
    stream.write_all(request.as_bytes()).map_err(in_words)?;
    let mut text = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        stream.set_read_timeout(Some(left()?)).map_err(in_words)?;
        match stream.read(&mut buffer).map_err(in_words)? {
            0 => break,
            count => text.extend_from_slice(&buffer[..count]),
        }
        if text.len() as u64 > MAX_ANSWER_BYTES {
            return Err("the answer does not end".to_owned());
        }
    }
    parse(&String::from_utf8_lossy(&text)).ok_or_else(|| "the answer is not HTTP".to_owned())
}

fn connect(target: &Target, left: impl Fn() -> Result<Duration, String>) -> Result<TcpStream, String> {
    let mut problem = "it has no address".to_owned();
    for address in target.authority.to_socket_addrs().map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&address, left()?) {
            Ok(stream) => return Ok(stream),
            Err(error) => problem = error.to_string(),
        }
    }
    Err(problem)
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.chars().filter(|character| !character.is_control()).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, live: bool) -> Result<Target, String> {
        target(&Args { url: Some(url.to_owned()), live, ..Args::default() })
    }

    fn target_of(authority: &str, path: &str) -> Result<Target, String> {
        Ok(Target { authority: authority.to_owned(), path: path.to_owned() })
    }

    #[test]
    fn an_origin_is_asked_at_the_usual_place_and_a_whole_url_there() {
        assert_eq!(of("http://hub:2019", false), target_of("hub:2019", READY_PATH));
        assert_eq!(of("http://hub:2019/", true), target_of("hub:2019", LIVE_PATH));
        assert_eq!(of("hub:2019", true), target_of("hub:2019", LIVE_PATH));
        assert_eq!(of("http://hub/healthz", true), target_of("hub:80", "/healthz"));
        assert_eq!(of("http://[::1]:2019", false), target_of("[::1]:2019", READY_PATH));
        assert_eq!(of("http://[::1]", false), target_of("[::1]:80", READY_PATH));
    }

    #[test]
    fn all_interfaces_are_reached_on_this_host() {
        for address in [":2019", "0.0.0.0:2019", "[::]:2019", "*:2019"] {
            assert_eq!(reachable(address), "localhost:2019");
        }
        assert_eq!(reachable("10.0.0.1:2019"), "10.0.0.1:2019");
    }

    #[test]
    fn what_is_no_address_is_told() {
        for url in [
            "https://hub",
            "",
            "http://",
            "http:///x",
            "http://user@hub",
            "http://hub/a b",
            "http://hub/\r\nX: y",
        ] {
            assert!(of(url, false).is_err(), "{url:?}");
        }
    }

    #[test]
    fn an_answer_is_a_status_and_a_body_that_cannot_play_tricks() {
        let answer =
            parse("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nno\u{1b}[2J\n").expect("an answer");
        assert_eq!((answer.status, answer.body.as_str()), (503, "no[2J"));
        assert!(parse("SSH-2.0-OpenSSH\r\n\r\n").is_none());
    }
}
