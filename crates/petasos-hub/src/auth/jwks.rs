//! A JWK set that is kept up to date: loaded at its first use, again when it expires, changes, or lacks the key a token
//! names (A17).
//!
//! **Who runs.** A load is a task of its own, so that a client that gives up does not end it; there is never more than
//! one per set. Callers that need its outcome wait for `finished`, which the task raises at its end, whatever happened;
//! all others go on with the keys there are. Nothing is queued: a caller that finds a load running waits for that one.
//! Loads are bounded in time, and begin only when `Schedule` allows it, so that tokens made up by a stranger cause one
//! load per `miss_interval` at most. On shutdown the task is dropped with its runtime.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    config::{AuthConfigError, JwksLocation},
    fetch::{Fetched, Fetcher, FileStamp},
    jwk::{self, SetKey},
};

/// When sets are loaded.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    /// A load that takes longer has failed.
    pub(super) timeout: Duration,
    /// Freshness where the server says nothing.
    pub(super) default_age: Duration,
    /// Freshness is never taken to be less than this, so that `no-store` does not mean a fetch per request …
    pub(super) min_age: Duration,
    /// … nor more than this, so that a mistake in a header cannot keep a withdrawn key for a year.
    pub(super) max_age: Duration,
    /// Past its freshness by more than this, a set is not used before a load was tried. Until then it is, while the load
    /// runs.
    pub(super) grace: Duration,
    /// After a load that failed, where there are older keys.
    pub(super) retry: Duration,
    /// After a load that failed, where there are no keys at all: clients are being refused.
    pub(super) retry_without_keys: Duration,
    /// Between loads because of a key that the set lacks.
    pub(super) miss_interval: Duration,
    /// Between looks at a file.
    pub(super) file_interval: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            default_age: Duration::from_secs(600),
            min_age: Duration::from_secs(60),
            max_age: Duration::from_secs(24 * 3_600),
            grace: Duration::from_secs(60),
            retry: Duration::from_secs(30),
            retry_without_keys: Duration::from_secs(2),
            miss_interval: Duration::from_secs(30),
            file_interval: Duration::from_secs(1),
        }
    }
}

/// The keys of one state of a set.
pub(super) struct Loaded {
    pub(super) keys: Vec<SetKey>,
    /// Raised by one whenever the text of the set changed.
    pub(super) generation: u64,
    notes: Vec<String>,
    /// Of the text, which is not kept: it may hold secrets.
    fingerprint: u128,
}

/// There are no keys, and why. For the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unavailable(pub(super) String);

/// How a key set fares, for `petasos check` and the like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetStatus {
    /// Where it is, without credentials.
    pub location: String,
    /// How many usable keys are in force; `None` if it was never loaded.
    pub keys: Option<usize>,
    /// Keys of the set that are not used, and why.
    pub notes: Vec<String>,
    /// Why the last load failed, if it did.
    pub error: Option<String>,
}

/// One key set. Shared by all that have the same location.
pub(super) struct KeySet {
    location: JwksLocation,
    fetcher: Fetcher,
    timing: Timing,
    loaded: ArcSwapOption<Loaded>,
    schedule: Mutex<Schedule>,
    /// The number of the last load that ended.
    finished: watch::Sender<u64>,
}

#[derive(Debug)]
struct Schedule {
    /// The number of the last load that began.
    begun: u64,
    /// When the next load is due.
    due: Instant,
    /// From when on callers wait for it.
    stale: Instant,
    /// From when on a missing key may cause a load.
    miss_allowed: Instant,
    stamp: Option<FileStamp>,
    error: Option<String>,
}

impl KeySet {
    pub(super) fn new(location: JwksLocation, timing: Timing) -> Result<Arc<Self>, AuthConfigError> {
        let now = Instant::now();
        Ok(Arc::new(Self {
            fetcher: Fetcher::new(&location)?,
            location,
            timing,
            loaded: ArcSwapOption::empty(),
            schedule: Mutex::new(Schedule {
                begun: 0,
                due: now,
                stale: now,
                miss_allowed: now,
                stamp: None,
                error: None,
            }),
            finished: watch::Sender::new(0),
        }))
    }

    pub(super) fn location(&self) -> &JwksLocation {
        &self.location
    }

    /// The keys to use now. Loads them where that is due, and waits for it where there are none or where they are stale.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<Loaded>, Unavailable> {
        let now = Instant::now();
        let (running, wait) = {
            let mut schedule = self.schedule.lock();
            let due = now >= schedule.due;
            let wait =
                self.loaded.load().is_none() || due && (self.fetcher.is_file() || now >= schedule.stale);
            (if due { Some(self.begin(&mut schedule)) } else { self.running(&schedule) }, wait)
        };
        if let Some(load) = running.filter(|_| wait) {
            self.wait_for(load).await;
        }
        self.in_force()
    }

    /// Keys of a later generation than `seen`, whose keys a token was not signed with. Loads the set again if that has
    /// not been tried for a while.
    pub(super) async fn newer_than(self: &Arc<Self>, seen: u64) -> Option<Arc<Loaded>> {
        let newer = || self.in_force().ok().filter(|loaded| loaded.generation > seen);
        if let Some(loaded) = newer() {
            return Some(loaded);
        }
        let load = {
            let now = Instant::now();
            let mut schedule = self.schedule.lock();
            match self.running(&schedule) {
                Some(running) => Some(running),
                None if now < schedule.miss_allowed => None,
                None => {
                    schedule.miss_allowed = now + self.timing.miss_interval;
                    Some(self.begin(&mut schedule))
                }
            }
        };
        if let Some(load) = load {
            self.wait_for(load).await;
        }
        // Asked again also where no load was allowed: one may have ended just now.
        newer()
    }

    /// Loads the set now, whatever the schedule says.
    pub(super) async fn reload(self: &Arc<Self>) -> Result<(), Unavailable> {
        let running = self.running(&self.schedule.lock());
        if let Some(load) = running {
            // It may have read what was there before the operator changed it.
            self.wait_for(load).await;
        }
        let load = {
            let mut schedule = self.schedule.lock();
            schedule.stamp = None;
            self.begin(&mut schedule)
        };
        self.wait_for(load).await;
        match &self.schedule.lock().error {
            None => Ok(()),
            Some(error) => Err(Unavailable(format!("key set {}: {error}", self.location))),
        }
    }

    pub(super) fn status(&self) -> KeySetStatus {
        let loaded = self.loaded.load();
        KeySetStatus {
            location: self.location.to_string(),
            keys: loaded.as_ref().map(|loaded| loaded.keys.len()),
            notes: loaded.as_ref().map(|loaded| loaded.notes.clone()).unwrap_or_default(),
            error: self.schedule.lock().error.clone(),
        }
    }

    fn in_force(&self) -> Result<Arc<Loaded>, Unavailable> {
        self.loaded.load_full().ok_or_else(|| {
            let error =
                self.schedule.lock().error.clone().unwrap_or_else(|| "it was not loaded in time".into());
            Unavailable(format!("key set {}: {error}", self.location))
        })
    }

    /// The number of the load that runs now.
    fn running(&self, schedule: &Schedule) -> Option<u64> {
        (schedule.begun > *self.finished.borrow()).then_some(schedule.begun)
    }

    /// Starts a load, unless one runs, and gives its number.
    fn begin(self: &Arc<Self>, schedule: &mut Schedule) -> u64 {
        if let Some(running) = self.running(schedule) {
            return running;
        }
        schedule.begun += 1;
        let load = Load { set: Arc::clone(self), number: schedule.begun };
        let known = schedule.stamp.clone();
        tokio::spawn(async move {
            let set = &load.set;
            let result =
                match tokio::time::timeout(set.timing.timeout, set.fetcher.fetch(known.as_ref())).await {
                    Ok(result) => result,
                    Err(_) => Err(format!("no answer within {:?}", set.timing.timeout)),
                };
            set.settle(result);
        });
        schedule.begun
    }

    async fn wait_for(&self, load: u64) {
        let mut finished = self.finished.subscribe();
        // The sender lives in `self` and the task's end raises the number even if it panicked, so that this ends.
        let _ = finished.wait_for(|last| *last >= load).await;
    }

    /// Puts the result of a load into force.
    fn settle(&self, result: Result<Option<Fetched>, String>) {
        let parsed = match result {
            Ok(None) => Ok(None),
            Ok(Some(fetched)) => self.adopt(&fetched.text).map(|()| Some(fetched)),
            Err(error) => Err(error),
        };
        let now = Instant::now();
        let mut schedule = self.schedule.lock();
        let age = match parsed {
            Ok(fetched) => {
                schedule.error = None;
                let (max_age, stamp) =
                    fetched.map(|fetched| (fetched.max_age, fetched.stamp)).unwrap_or_default();
                if let Some(stamp) = stamp {
                    schedule.stamp = Some(stamp);
                }
                if self.fetcher.is_file() {
                    self.timing.file_interval
                } else {
                    max_age.unwrap_or(self.timing.default_age).clamp(self.timing.min_age, self.timing.max_age)
                }
            }
            Err(error) => {
                let has_keys = self.loaded.load().is_some();
                // Nobody else sees this: the requests go on with the keys there are.
                tracing::warn!(location = %self.location, %error, has_keys, "key set could not be loaded");
                schedule.error = Some(error);
                if has_keys { self.timing.retry } else { self.timing.retry_without_keys }
            }
        };
        schedule.due = now + age;
        schedule.stale = schedule.due + self.timing.grace;
    }

    /// Takes over the keys in `text`, unless they are in force already.
    fn adopt(&self, text: &str) -> Result<(), String> {
        let previous = self.loaded.load();
        let fingerprint = xxh3_128(text.as_bytes());
        if previous.as_ref().is_some_and(|previous| previous.fingerprint == fingerprint) {
            return Ok(());
        }
        let jwk::ParsedSet { keys, notes } = jwk::parse_set(text)?;
        for note in &notes {
            tracing::warn!(location = %self.location, "key set: {note}");
        }
        tracing::info!(location = %self.location, keys = keys.len(), "key set loaded");
        let generation = previous.as_ref().map_or(1, |previous| previous.generation + 1);
        self.loaded.store(Some(Arc::new(Loaded { keys, generation, notes, fingerprint })));
        Ok(())
    }
}

/// A running load. Its end is told to those who wait for it even if it ends by a panic or with its runtime.
struct Load {
    set: Arc<KeySet>,
    number: u64,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.set.finished.send_replace(self.number);
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("KeySet")
            .field("location", &format_args!("{}", self.location))
            .finish_non_exhaustive()
    }
}
