//! What the configuration of the hub says about tokens: issuer, key and audience, for flags that are absent.

use petasos_hub::{
    auth::{Algorithm, IssuerConfig, KeySource, Secret},
    http::HUB_PATH,
};

use crate::config::{Config, ConfigArgs, ConfigErrors, load};

/// Why the configuration does not help.
#[derive(Debug, thiserror::Error)]
pub(super) enum DefaultsError {
    /// It cannot be read.
    #[error("{missing} is not given, and the configuration cannot be used:\n{errors}")]
    Config {
        /// The flags.
        missing: &'static str,
        /// What is wrong.
        errors: ConfigErrors,
    },
    /// It says too little or too much.
    #[error("{0}")]
    Unclear(String),
}

/// Which keys a token must be signed with: those of publishers, of subscribers, or of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) publisher: bool,
    pub(super) subscriber: bool,
}

/// Reads the configuration that `serve` would use.
pub(super) fn read(args: &ConfigArgs, missing: &'static str) -> Result<Config, DefaultsError> {
    load(args).map_err(|errors| DefaultsError::Config { missing, errors })
}

/// The issuer to mint for, and the key to sign with.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) issuer: String,
    pub(super) key: Secret,
    pub(super) algorithm: Algorithm,
}

/// The one issuer with one key that serves all of `roles`; `wanted` chooses among several.
pub(super) fn signer(config: &Config, wanted: Option<&str>, roles: Roles) -> Result<Signer, DefaultsError> {
    one_of(issuers(config, wanted)?, roles)
}

/// The key for a token of version 0.x: one that no issuer has, or an issuer's. The token does not name it.
pub(super) fn old_signer(
    config: &Config,
    wanted: Option<&str>,
    roles: Roles,
) -> Result<Signer, DefaultsError> {
    let old = config.auth.compatibility.clone().unwrap_or_default();
    let nobody = IssuerConfig {
        id: String::new(),
        authorization_server: false,
        publisher: old.publisher,
        subscriber: old.subscriber,
    };
    if wanted.is_none() && key_of(&nobody, roles).is_ok() {
        return one_of(vec![&nobody], roles);
    }
    one_of(issuers(config, wanted)?, roles)
}

fn one_of(candidates: Vec<&IssuerConfig>, roles: Roles) -> Result<Signer, DefaultsError> {
    let mut signers: Vec<Signer> = Vec::new();
    let mut problems = Vec::new();
    for issuer in candidates {
        match key_of(issuer, roles) {
            Ok((key, algorithm)) => signers.push(Signer { issuer: issuer.id.clone(), key, algorithm }),
            Err(problem) => problems.push(problem),
        }
    }
    let alike = |one: &Signer, other: &Signer| one.key == other.key && one.algorithm == other.algorithm;
    match signers.as_slice() {
        [] => Err(DefaultsError::Unclear(problems.join("\n"))),
        [first, rest @ ..] if rest.iter().all(|other| alike(first, other)) => Ok(signers.swap_remove(0)),
        several => {
            let ids: Vec<&str> = several.iter().map(|signer| signer.issuer.as_str()).collect();
            let text = format!("there are several issuers: choose one with --issuer ({})", ids.join(", "));
            Err(DefaultsError::Unclear(text))
        }
    }
}

/// The issuer where only its name is needed.
pub(super) fn issuer_id(config: &Config) -> Result<String, DefaultsError> {
    match issuers(config, None)?.as_slice() {
        [only] => Ok(only.id.clone()),
        several => {
            let ids: Vec<&str> = several.iter().map(|issuer| issuer.id.as_str()).collect();
            Err(DefaultsError::Unclear(format!("choose the issuer with --issuer ({})", ids.join(", "))))
        }
    }
}

fn issuers<'a>(config: &'a Config, wanted: Option<&str>) -> Result<Vec<&'a IssuerConfig>, DefaultsError> {
    let all = &config.auth.issuers;
    let found: Vec<&IssuerConfig> =
        all.iter().filter(|issuer| wanted.is_none_or(|id| issuer.id == id)).collect();
    if found.is_empty() {
        let ids: Vec<&str> = all.iter().map(|issuer| issuer.id.as_str()).collect();
        return Err(DefaultsError::Unclear(match (wanted, ids.as_slice()) {
            (_, []) => "the configuration names no issuer: give --issuer and --key-file".to_owned(),
            (Some(id), _) => format!(
                "the issuer {id:?} is not configured (there is {}): give its key with --key-file",
                ids.join(", ")
            ),
            (None, _) => "no issuer fits".to_owned(),
        }));
    }
    Ok(found)
}

fn key_of(issuer: &IssuerConfig, roles: Roles) -> Result<(Secret, Algorithm), String> {
    let id = &issuer.id;
    let mut found: Option<(Secret, Algorithm)> = None;
    let sources = [
        (roles.publisher, "publishers", &issuer.publisher),
        (roles.subscriber, "subscribers", &issuer.subscriber),
    ];
    for (_, role, source) in sources.into_iter().filter(|(needed, ..)| *needed) {
        let (key, algorithm) = match source {
            None => return Err(format!("issuer {id} has no key for {role}")),
            Some(KeySource::Jwks { .. }) => {
                return Err(format!(
                    "issuer {id} has a key set for {role}, which only verifies: name its private key with --key-file"
                ));
            }
            Some(KeySource::Static { key, algorithm }) => (key, *algorithm),
        };
        if !algorithm.is_symmetric() {
            return Err(format!(
                "issuer {id} has a public key for {role}, which only verifies: name its private key with --key-file"
            ));
        }
        match &found {
            Some((other, other_algorithm)) if other != key || *other_algorithm != algorithm => {
                return Err(format!(
                    "issuer {id} has different keys for publishers and subscribers: mint two tokens, one with --publish \
                     and one with --subscribe"
                ));
            }
            _ => found = Some((key.clone(), algorithm)),
        }
    }
    found.ok_or_else(|| format!("issuer {id} has no key"))
}

/// The hub's resource identifier (D02), and whether it is only a guess from the address it listens on.
pub(super) fn audience(config: &Config) -> Result<(String, bool), DefaultsError> {
    if let Some(identifier) = &config.http.resource_identifier {
        return Ok((identifier.to_string(), false));
    }
    if let [only] = config.http.public_urls.as_slice()
        && let Ok(url) = only.join(HUB_PATH)
    {
        return Ok((url.to_string(), false));
    }
    if !config.http.public_urls.is_empty() {
        let urls: Vec<&str> = config.http.public_urls.iter().map(url::Url::as_str).collect();
        let text =
            format!("the hub has several URLs: choose one with --audience ({}{HUB_PATH})", urls.join(", "));
        return Err(DefaultsError::Unclear(text));
    }
    let unclear = || DefaultsError::Unclear("give the URL of the hub with --audience".to_owned());
    let listener = config.listeners.first().ok_or_else(unclear)?;
    let (host, port) = listener.address.rsplit_once(':').ok_or_else(unclear)?;
    let host = match host {
        "" | "0.0.0.0" | "[::]" | "*" => "localhost",
        host => host,
    };
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    // Parsing drops a port that is the scheme's own, as clients do.
    let url = url::Url::parse(&format!("{scheme}://{host}:{port}{HUB_PATH}")).map_err(|_| unclear())?;
    Ok((url.to_string(), true))
}
