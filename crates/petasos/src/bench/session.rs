//! What the flags come to: a hub that is there, tokens that are made, files that may be opened, and somebody who
//! watches for Ctrl-C.

use std::{
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::HeaderValue;
use petasos_hub::{
    auth::{Algorithm, Secret},
    topic::WILDCARD,
};

use super::{
    args::{Common, SUBSCRIBER_TOKEN_VARIABLE},
    endpoint::Endpoint,
    error::BenchError,
    progress::Progress,
    spawn::{ISSUER, SpawnedHub, Store},
};
use crate::{
    client::{
        credentials::TokenSource,
        target::{TOKEN_VARIABLE, Target, TargetArgs, URL_VARIABLE},
    },
    token::mint::{self, Grant, MintRequest},
};

/// How long minted tokens last: longer than any bench.
const TOKEN_LIFETIME: Duration = Duration::from_secs(7 * 86_400);
/// Between two looks at counters while something is awaited that only they tell.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The hub under load.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// Its path, with a query of its own if it has one.
    pub(crate) path: String,
    /// The publishers' `Authorization` field.
    pub(crate) publisher: Option<HeaderValue>,
    /// The subscribers'.
    pub(crate) subscriber: Option<HeaderValue>,
    /// Its processes; empty where they are not known.
    pub(crate) pids: Vec<u32>,
    /// For the report: its URL, or where a hub that was started keeps its log.
    pub(crate) name: String,
    /// Stopped when the bench is over.
    _child: Option<SpawnedHub>,
}

/// What a bench has beside its hub.
#[derive(Debug)]
pub(crate) struct Session {
    /// The display.
    pub(crate) progress: Progress,
    /// Somebody wants it to end.
    stop: Arc<AtomicBool>,
}

impl Session {
    /// Begins to watch for signals.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn begin(quiet: bool) -> Result<Self, BenchError> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let watch = move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                crate::client::signal().await;
                asked.store(true, Ordering::Relaxed);
                // A second signal ends the process at once, and with it the hub that it started.
                crate::client::signal().await;
                super::spawn::kill_now();
                std::process::exit(BenchError::Interrupted.exit().code().into());
            });
        };
        let builder = std::thread::Builder::new().name("signals".into());
        builder.spawn(watch).map_err(BenchError::system("a thread cannot be started"))?;
        Ok(Self { progress: Progress::new(quiet), stop })
    }

    /// Whether somebody wants the bench to end.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        if self.stop.load(Ordering::Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
    }

    /// Waits until `done`, and shows `text` meanwhile.
    ///
    /// # Errors
    /// Those of `done`; it took too long; somebody wants the bench to end.
    pub(crate) fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut() -> Result<bool, BenchError>,
        mut text: impl FnMut() -> String,
    ) -> Result<(), BenchError> {
        let deadline = Instant::now() + limit;
        while !done()? {
            self.check()?;
            if Instant::now() > deadline {
                return Err(BenchError::Late { what: what.to_owned(), seconds: limit.as_secs() });
            }
            self.progress.show(&text());
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl Hub {
    /// The hub that the flags name, or start, with the `usual` store if they do not say which.
    ///
    /// # Errors
    /// It is not there, or what is needed to get in.
    pub(crate) fn find(common: &Common, usual: Store) -> Result<Self, BenchError> {
        if common.spawn {
            refuse_url(common, "--spawn")?;
            return Self::spawn(common, common.store.clone().unwrap_or(usual));
        }
        let target = common.target.resolve(env::var(TOKEN_VARIABLE).ok())?;
        let (publisher, subscriber) = match given_key(common)? {
            Some(key) => {
                let issuer = common.issuer.clone().unwrap_or_default();
                let audience = common.audience.clone().unwrap_or_else(|| target.resource().to_string());
                let algorithm = common.alg.unwrap_or_else(|| mint::algorithm_for(&key));
                let mint = |publish| token(publish, &issuer, &audience, &key, algorithm);
                (Some(mint(true)?), Some(mint(false)?))
            }
            None => (target.token.authorization()?, subscriber_token(common)?),
        };
        Self::reach(&target, common, publisher, subscriber, None)
    }

    fn spawn(common: &Common, store: Store) -> Result<Self, BenchError> {
        let child = SpawnedHub::start(&store, &common.serve_arg)?;
        let target = TargetArgs { url: Some(child.url()), ..TargetArgs::default() }.resolve(None)?;
        let mint = |publish| token(publish, ISSUER, &child.url(), child.secret(), Algorithm::HS256);
        // Subscribers without a token are the usual ones: updates are public unless --private says otherwise.
        let subscriber = if common.private { Some(mint(false)?) } else { None };
        let publisher = Some(mint(true)?);
        let name =
            format!("petasos {}, started for this, store: {}", env!("CARGO_PKG_VERSION"), store.name());
        Ok(Self { name, ..Self::reach(&target, common, publisher, subscriber, Some(child))? })
    }

    fn reach(
        target: &Target,
        common: &Common,
        publisher: Option<HeaderValue>,
        subscriber: Option<HeaderValue>,
        child: Option<SpawnedHub>,
    ) -> Result<Self, BenchError> {
        let pids = child.as_ref().map_or_else(|| common.pid.clone(), |child| vec![child.pid()]);
        super::usage::of(&pids)?;
        Ok(Self {
            endpoint: Endpoint::find(target, common.source_addresses)?,
            path: target.path_with(""),
            publisher,
            subscriber,
            pids,
            name: target.resource().to_string(),
            _child: child,
        })
    }
}

/// A URL that is given, and not merely in the environment, beside a flag that needs none.
///
/// # Errors
/// There is one.
pub(crate) fn refuse_url(common: &Common, flag: &str) -> Result<(), BenchError> {
    match &common.target.url {
        Some(url) if env::var(URL_VARIABLE).ok().as_ref() != Some(url) => {
            Err(BenchError::Usage(format!("--url and {flag} exclude each other")))
        }
        _ => Ok(()),
    }
}

fn given_key(common: &Common) -> Result<Option<Secret>, BenchError> {
    let Some(path) = &common.key_file else { return Ok(common.key.clone()) };
    let bytes =
        fs::read(path).map_err(|error| BenchError::File { path: path.clone(), verb: "read", error })?;
    // One line break at the end is the editor's.
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Ok(Some(Secret::new(text.strip_suffix(b"\r").unwrap_or(text))))
}

fn subscriber_token(common: &Common) -> Result<Option<HeaderValue>, BenchError> {
    let variable = env::var(SUBSCRIBER_TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
    let source = match (&common.subscriber_token, &common.subscriber_token_file, variable) {
        (Some(token), _, _) => TokenSource::Given(token.clone()),
        (None, Some(path), _) => TokenSource::File(path.clone()),
        (None, None, Some(token)) => TokenSource::Given(Secret::new(token)),
        (None, None, None) => TokenSource::None,
    };
    Ok(source.authorization()?)
}

fn token(
    publish: bool,
    issuer: &str,
    audience: &str,
    key: &Secret,
    algorithm: Algorithm,
) -> Result<HeaderValue, BenchError> {
    let all = || vec![Grant::exact(WILDCARD)];
    let request = MintRequest {
        issuer: issuer.to_owned(),
        audience: vec![audience.to_owned()],
        subject: None,
        key_id: None,
        lifetime: TOKEN_LIFETIME,
        publish: if publish { all() } else { Vec::new() },
        subscribe: if publish { Vec::new() } else { all() },
        payload: None,
    };
    let token = Secret::new(mint::mint(&request, key, algorithm)?);
    let field = TokenSource::Given(token).authorization()?;
    field.ok_or_else(|| BenchError::Usage("the minted token is empty".into()))
}
