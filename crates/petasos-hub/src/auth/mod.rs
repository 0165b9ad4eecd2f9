//! From a request's credentials to a grant. Knows tokens, keys and authorization details; knows no status codes, and
//! logs nothing about requests: a [`Refusal`] carries what the caller's log needs.
//!
//! In the order in which a token meets them: [`credentials`] finds it in the request, `cache` knows it already or not,
//! `token` takes it apart, `claims` reads it, `issuers` has the keys (`keys` from configuration, `jwks` from key sets),
//! `verify` checks it all, `details` compiles what it grants (`legacy` for tokens of the 0.x generation), and `grant` is
//! what comes out.

mod algorithm;
mod cache;
mod claims;
mod config;
pub mod credentials;
mod details;
mod explain;
mod explain_old;
mod fetch;
mod finding;
mod grant;
mod issuers;
mod json;
mod jwk;
mod jwks;
mod keys;
mod legacy;
mod refusal;
mod token;
mod verify;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::{fmt, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;

pub use algorithm::Algorithm;
pub use config::{AuthConfig, AuthConfigError, Compatibility, IssuerConfig, JwksLocation, KeySource, Secret};
pub use credentials::{AccessToken, Credentials};
pub use explain::{Explanation, Outcome, Step};
pub use grant::{PublishGrant, SubscribeGrant};
pub use jwks::KeySetStatus;
pub use legacy::{Generation, generation_of, has_old_form};
pub use refusal::{Reason, Refusal, RefusalKind};

use crate::topic::Base;
use cache::{GrantCache, Use};
use grant::Rights;
use issuers::Issuers;
use jwks::Timing;

/// What a token is used for. Publisher and subscriber keys are configured apart (A10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `POST` on the hub.
    Publisher,
    /// `GET`, `HEAD` and `QUERY`, and the subscription API.
    Subscriber,
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Publisher => "publisher",
            Self::Subscriber => "subscriber",
        })
    }
}

/// Verifies tokens and makes grants. Shared by all requests.
///
/// Its asynchronous methods must run within a Tokio runtime.
#[derive(Debug)]
pub struct Authenticator {
    config: AuthConfig,
    timing: Timing,
    issuers: ArcSwap<Issuers>,
    cache: GrantCache,
    anonymous: Arc<Rights>,
    open: Arc<Rights>,
    /// Held while issuers are replaced, so that each configuration has an epoch of its own.
    replacing: parking_lot::Mutex<()>,
}

impl Authenticator {
    /// Parses all keys. Key sets are loaded by [`Self::reload`] or at their first use.
    ///
    /// # Errors
    /// A key that does not fit its algorithm, two issuers with one id, an issuer without keys; all of them, one line
    /// each.
    pub fn new(config: AuthConfig) -> Result<Self, AuthConfigError> {
        Self::with_timing(config, Timing::default())
    }

    fn with_timing(config: AuthConfig, timing: Timing) -> Result<Self, AuthConfigError> {
        Ok(Self {
            issuers: ArcSwap::from_pointee(Issuers::build(&config, &timing, None)?),
            config,
            timing,
            cache: GrantCache::new(),
            anonymous: Arc::new(Rights::anonymous()),
            open: Arc::new(Rights::open()),
            replacing: parking_lot::Mutex::new(()),
        })
    }

    /// What it was made from.
    pub fn config(&self) -> &AuthConfig {
        &self.config
    }

    /// What is allowed and unwise about the keys, one sentence each, for the log at start.
    pub fn warnings(&self) -> Vec<String> {
        self.issuers.load().warnings().to_vec()
    }

    /// How the key sets fare.
    pub fn key_sets(&self) -> Vec<KeySetStatus> {
        self.issuers.load().sets().iter().map(|set| set.status()).collect()
    }

    /// Loads key sets (files and URLs) again, keeping the old keys of those that fail.
    ///
    /// # Errors
    /// All failures, joined; what could be loaded is in force.
    pub async fn reload(&self) -> Result<(), AuthConfigError> {
        let issuers = self.issuers.load_full();
        let loads = issuers.sets().iter().map(|set| set.reload());
        let errors: Vec<_> = futures_util::future::join_all(loads)
            .await
            .into_iter()
            .filter_map(|load| Some(load.err()?.0))
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(AuthConfigError(errors.join("\n"))) }
    }

    /// Whether the 0.x generation is served as well (section L). Once it is not, it never is again: see
    /// [`Self::replace_keys`].
    pub fn serves_old_generation(&self) -> bool {
        self.issuers.load().reads_old_tokens()
    }

    /// Puts the issuers and keys of another configuration into force, for requests from now on. Open streams go on until
    /// their tokens end. [`Self::config`] still shows what this was made from, and the rest of that stays in force. The
    /// 0.x generation is served no more where the new configuration does not serve it; to serve it takes a new hub,
    /// because what is open already would stay half of either.
    ///
    /// # Errors
    /// As for [`Self::new`]; then nothing changes.
    pub fn replace_keys(&self, config: &AuthConfig) -> Result<(), AuthConfigError> {
        let _alone = self.replacing.lock();
        let previous = self.issuers.load();
        let compatibility = config.compatibility.clone().filter(|_| previous.reads_old_tokens());
        let config = AuthConfig { issuers: config.issuers.clone(), compatibility, ..AuthConfig::default() };
        let next = Issuers::build(&config, &self.timing, Some(&previous))?;
        self.issuers.store(Arc::new(next));
        self.cache.clear();
        Ok(())
    }

    /// The grant of a publisher. `token` is `None` where the request carried none.
    ///
    /// `audience` is the hub's resource identifier for this request (D02), `base` the hub's URL for it (M06).
    ///
    /// # Errors
    /// [`RefusalKind::MissingToken`] (A04), [`RefusalKind::InvalidToken`] (A05).
    pub async fn publisher(
        &self,
        token: Option<&str>,
        audience: &str,
        base: &Base,
    ) -> Result<PublishGrant, Refusal> {
        match token {
            Some(token) => Ok(self.rights(Role::Publisher, token, audience, base).await?.publish()),
            None if self.config.anonymous_publish => Ok(self.open.publish()),
            None => Err(missing()),
        }
    }

    /// The grant of a subscriber, as for [`Self::publisher`]. Without a token and with `anonymous` on, a grant that
    /// reads public updates only.
    ///
    /// # Errors
    /// As for [`Self::publisher`].
    pub async fn subscriber(
        &self,
        token: Option<&str>,
        audience: &str,
        base: &Base,
    ) -> Result<SubscribeGrant, Refusal> {
        match token {
            Some(token) => Ok(self.rights(Role::Subscriber, token, audience, base).await?.subscribe()),
            None if self.config.anonymous => Ok(self.anonymous.subscribe()),
            None => Err(missing()),
        }
    }

    /// Checks a token and goes on after a failure, as far as that makes sense: for people who want to know why it is
    /// refused. The result shows the token's content; it must not reach the token's sender unless that is the operator.
    pub async fn explain(&self, role: Role, token: &str, audience: &str, base: &Base) -> Explanation {
        let wanted = Use { role, audience, base, token };
        explain::explain(&self.issuers.load_full(), &wanted, SystemTime::now()).await
    }

    async fn rights(
        &self,
        role: Role,
        token: &str,
        audience: &str,
        base: &Base,
    ) -> Result<Arc<Rights>, Refusal> {
        self.rights_at(&Use { role, audience, base, token }, SystemTime::now()).await
    }

    async fn rights_at(&self, wanted: &Use<'_>, now: SystemTime) -> Result<Arc<Rights>, Refusal> {
        let issuers = self.issuers.load_full();
        if let Some(known) = self.cache.get(wanted) {
            let same_keys = match &known.keys.set {
                // Asking for the set is what keeps it fresh where all tokens are known.
                Some((set, generation)) => {
                    set.current().await.is_ok_and(|loaded| loaded.generation == *generation)
                }
                None => true,
            };
            if same_keys && known.keys.epoch == issuers.epoch {
                if let Err(finding) = known.validity.check(now) {
                    self.cache.remove(wanted);
                    return Err(finding.into());
                }
                return Ok(known.rights);
            }
            self.cache.remove(wanted);
        }
        let verified = verify::verify(&issuers, wanted, now).await?;
        let rights = Arc::clone(&verified.rights);
        self.cache.insert(wanted, verified);
        Ok(rights)
    }
}

/// A04.
fn missing() -> Refusal {
    Refusal::new(RefusalKind::MissingToken, Reason::MissingToken)
        .because("the request has neither an Authorization field nor the cookie")
}
