//! Whether the key sets that the configuration names can be read. Static keys were parsed when it was loaded.

use std::time::Duration;

use petasos_hub::auth::{AuthConfig, Authenticator, JwksLocation, KeySource};

use super::Findings;

/// How long the key sets may take to come, all of them together.
const FETCH_TIME: Duration = Duration::from_secs(10);

pub(super) fn examine(config: &AuthConfig, findings: &mut Findings) {
    let is_file = |location: &JwksLocation| matches!(location, JwksLocation::File(_));
    let ids: Vec<&str> = config.issuers.iter().map(|issuer| issuer.id.as_str()).collect();
    if !ids.is_empty() {
        findings.fine.push(format!("the keys of {}", ids.join(", ")));
    }
    // A file that is wrong stays wrong. A server that does not answer may do so later, as the hub will try.
    let files = only(config, is_file);
    match load(&files) {
        Ok(()) => {}
        Err(errors) => findings.misconfigured.extend(errors),
    }
    let urls = only(config, |location| !is_file(location));
    match load(&urls) {
        Ok(()) => {}
        Err(errors) => findings.warnings.extend(errors),
    }
}

/// The issuers, and the keys that none has, with those of their key sets that `keep` selects.
fn only(config: &AuthConfig, keep: impl Fn(&JwksLocation) -> bool) -> AuthConfig {
    let kept = |keys: &Option<KeySource>| {
        keys.clone().filter(|keys| matches!(keys, KeySource::Jwks { location, .. } if keep(location)))
    };
    let mut config = config.clone();
    for issuer in &mut config.issuers {
        issuer.publisher = kept(&issuer.publisher);
        issuer.subscriber = kept(&issuer.subscriber);
    }
    config.issuers.retain(|issuer| issuer.publisher.is_some() || issuer.subscriber.is_some());
    if let Some(old) = &mut config.compatibility {
        old.publisher = kept(&old.publisher);
        old.subscriber = kept(&old.subscriber);
    }
    config
}

fn load(config: &AuthConfig) -> Result<(), Vec<String>> {
    let authenticator = Authenticator::new(config.clone()).map_err(|error| lines(&error.0))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| vec![format!("the key sets could not be loaded: {error}")])?;
    let loaded = runtime.block_on(async { tokio::time::timeout(FETCH_TIME, authenticator.reload()).await });
    match loaded {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(lines(&error.0)),
        Err(_) => Err(vec![format!("the key sets did not come within {FETCH_TIME:?}")]),
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
