//! `petasos health --round-trip`: publishes a private update and waits until it comes back, so that keys, log and delivery
//! are proven at once. For tests of an installation in images that have nothing but this program.
//!
//! One task follows, the caller publishes; a channel with one place says that the update has come. The task ends with the
//! runtime.

use std::{io, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use super::{Args, reachable};
use crate::{
    client::{
        exit::Exit,
        publish::{
            form::{Fields, Form},
            lines::BadLine,
            pipeline,
            report::Observer,
            source::{Source, random_id},
        },
        sse::{Event, MAX_EVENT_BYTES},
        subscribe::{
            follow::{self, Sink},
            session::{Cursor, Matcher},
            state::StateError,
        },
        target::{TOKEN_VARIABLE, Target, TargetArgs},
    },
    config::{self, Config},
    token::{self, MintArgs},
};

/// How long all of it may take: tests of an installation begin when the first pod is ready, which may be before every node
/// knows the way to it.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// An update that has not come back after so long is followed by another one: the first may have been published before
/// the stream was open.
const PUBLISH_AGAIN: Duration = Duration::from_secs(1);

/// Publishes and receives, and says how it went.
///
/// # Errors
/// What is in the way, and the exit code that fits.
pub(super) fn run(args: &Args) -> Result<String, (Exit, String)> {
    let failed = |error: &dyn std::fmt::Display| (Exit::Failed, error.to_string());
    let usage = |error: &dyn std::fmt::Display| (Exit::Usage, error.to_string());
    let given = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
    let config = match (config::load(&args.config), &args.url, &given) {
        (Ok(config), _, _) => Some(config),
        // Everything that is needed was given.
        (Err(_), Some(_), Some(_)) => None,
        (Err(errors), _, _) => return Err(usage(&errors)),
    };
    let url = match (&args.url, &config) {
        (Some(url), _) => url.clone(),
        (None, config) => own_url(config.as_ref()).ok_or_else(|| usage(&"say which hub with --url"))?,
    };
    let target = |token: Option<String>| {
        let args = TargetArgs { url: Some(url.clone()), insecure: args.insecure, ..TargetArgs::default() };
        let mut target = args.resolve(token).map_err(|error| usage(&error))?;
        if let Some(public) = config.as_ref().and_then(|config| public_url(config, &target)) {
            target.url = public;
        }
        Ok(target)
    };

    let topic = random_id();
    let (publisher, subscriber) = match given {
        Some(token) => (target(Some(token.clone()))?, target(Some(token))?),
        None => {
            let hub = target(None)?;
            // With a resource identifier, that is the audience, and the configuration says so.
            let pinned = config.as_ref().is_some_and(|config| config.http.resource_identifier.is_some());
            let audience = if pinned { Vec::new() } else { vec![hub.resource().to_string()] };
            let mint = |publish: &[String], subscribe: &[String]| {
                token::mint_for(&MintArgs {
                    publish: publish.to_vec(),
                    subscribe: subscribe.to_vec(),
                    audience: audience.clone(),
                    config: args.config.config.clone(),
                    ..MintArgs::default()
                })
                .map_err(|problem| usage(&format!("{problem}\nOr give a token in {TOKEN_VARIABLE}.")))
            };
            let topics = [topic.clone()];
            (target(Some(mint(&topics, &[])?))?, target(Some(mint(&[], &topics)?))?)
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(&format!("the threads cannot be started: {error}")))?;
    runtime.block_on(round_trip(publisher, subscriber, &topic))
}

/// A hub that is told its public URLs answers no requests for others (421): where it is asked by an inner address, this
/// is done as by the proxy that knows it under the first of them.
fn public_url(config: &Config, target: &Target) -> Option<url::Url> {
    let public = &config.http.public_urls;
    if public.iter().any(|listed| listed.origin() == target.url.origin()) {
        return None;
    }
    let mut url = public.first()?.clone();
    url.set_path(target.url.path());
    Some(url)
}

/// Where the hub of this configuration is reached from its own host.
fn own_url(config: Option<&Config>) -> Option<String> {
    let config = config?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    Some(format!("{scheme}://{}", reachable(&config.listeners.first()?.address)))
}

async fn round_trip(publisher: Target, subscriber: Target, topic: &str) -> Result<String, (Exit, String)> {
    let place = publisher.resource();
    let (came, mut coming) = mpsc::channel(1);
    let following = follow::Options {
        target: subscriber,
        matchers: vec![Matcher::Exact(topic.to_owned())],
        start: Cursor::Live,
        reconnect: true,
        fail_on_gap: false,
        count: Some(1),
        timeout: Some(TIME_LIMIT),
        max_event_bytes: MAX_EVENT_BYTES,
    };
    let started = Instant::now();
    let deadline = started + TIME_LIMIT;
    let follower = tokio::spawn(async move {
        let end = follow::follow(&following, &mut Arrival(came), std::future::pending()).await;
        end.failure().map(|failure| (end.exit(true), failure))
    });
    let form = Form::new(&Fields { topics: vec![topic.to_owned()], private: true, ..Fields::default() });
    let publishing = pipeline::Options {
        target: publisher,
        window: Some(1),
        http1_only: true,
        retry: true,
        give_up_after: Some(TIME_LIMIT),
    };
    loop {
        let mut update: Source<tokio::io::Empty> =
            Source::One(Some(form.body(&random_id(), Some("round trip"))));
        let mut silent = Silent;
        let run = pipeline::run(&publishing, &mut update, &mut silent, std::future::pending());
        match timeout_at(deadline, run).await {
            Ok(summary) if summary.exit() == Exit::Done => {}
            Ok(summary) => {
                let why = summary.failure().unwrap_or_else(|| "it was refused".to_owned());
                return Err((summary.exit(), format!("{place}: the update was not published: {why}")));
            }
            Err(_) => return Err(late(&place)),
        }
        match timeout(PUBLISH_AGAIN, coming.recv()).await {
            Ok(Some(())) => {
                return Ok(format!("{place}: published and received in {:.0?}", started.elapsed()));
            }
            // The follower has ended without an update.
            Ok(None) => match follower.await {
                Ok(Some((exit, failure))) => return Err((exit, format!("{place}: {failure}"))),
                _ => return Err(late(&place)),
            },
            Err(_) if Instant::now() >= deadline => return Err(late(&place)),
            Err(_) => {}
        }
    }
}

fn late(place: &url::Url) -> (Exit, String) {
    (Exit::Failed, format!("{place}: no update came back within {} s", TIME_LIMIT.as_secs()))
}

/// Tells that an update has come.
struct Arrival(mpsc::Sender<()>);

impl Sink for Arrival {
    fn event(&mut self, _event: &Event) -> io::Result<()> {
        // Full, where one has come already.
        let _ = self.0.try_send(());
        Ok(())
    }

    fn cursor(&mut self, _id: &str) -> Result<(), StateError> {
        Ok(())
    }

    fn note(&mut self, _text: &str) {}
}

/// The summary says everything.
struct Silent;

impl Observer for Silent {
    fn stored(&mut self, _line: u64, _id: &str) {}
    fn refused(&mut self, _line: u64, _why: &crate::client::answer::Refused) {}
    fn unfit(&mut self, _line: u64, _why: BadLine) {}
    fn note(&mut self, _text: &str) {}
    fn pause(&mut self) {}
}
