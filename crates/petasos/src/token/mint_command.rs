//! `petasos token`: from flags and configuration to a token on standard output.

use std::{io, path::PathBuf, time::Duration};

use petasos_hub::auth::{Algorithm, Secret};
use serde_json::Value;

use super::{
    config_args,
    defaults::{self, DefaultsError, Roles},
    mint::{self, Grant, MintError, MintRequest, OldMintRequest},
};
use crate::client::duration;

/// A longer life than this deserves a warning: a token cannot be revoked.
const LONG_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// A longer life than this is a mistake.
const ABSURD_LIFETIME: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Flags of `petasos token`.
#[derive(Debug, Default, clap::Args)]
pub struct MintArgs {
    /// Topics that the token may publish on; `*` is all of them
    #[arg(long, value_name = "TOPIC", num_args = 1..)]
    pub publish: Vec<String>,

    /// URL patterns of topics that the token may publish on
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    pub publish_pattern: Vec<String>,

    /// Topics whose private updates the token may read; `*` is all of them
    #[arg(long, value_name = "TOPIC", num_args = 1..)]
    pub subscribe: Vec<String>,

    /// URL patterns of topics whose private updates the token may read
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    pub subscribe_pattern: Vec<String>,

    /// Mint a token of version 0.x of the protocol (claim mercure), for clients of a hub in the compatibility mode. What
    /// --publish and --subscribe name are then topic selectors, which may be URI Templates
    #[arg(long)]
    pub legacy: bool,

    /// A JSON object that the hub shows with the subscriptions of the token's bearer
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    pub payload: Option<Value>,

    /// Who issues the token (iss)
    #[arg(long, value_name = "ID")]
    pub issuer: Option<String>,

    /// The hub it is for (aud): its URL, unless a resource identifier is configured. May be given several times
    #[arg(long, value_name = "URL", conflicts_with = "legacy")]
    pub audience: Vec<String>,

    /// Whom it is for (sub)
    #[arg(long, value_name = "NAME")]
    pub subject: Option<String>,

    /// How long it is valid
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = lifetime)]
    pub expires_in: Option<Duration>,

    /// The secret to sign with. Other users of this machine can see it in the list of processes: better use --key-file
    #[arg(long, value_name = "SECRET", value_parser = secret, conflicts_with = "key_file")]
    pub key: Option<Secret>,

    /// A file with the secret, or with the private key in PEM
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// The algorithm [default: the one that is configured, or the one that the key is for]
    #[arg(long, value_name = "ALG", value_parser = algorithm)]
    pub alg: Option<Algorithm>,

    /// The name of the key (kid), where the issuer has several
    #[arg(long, value_name = "KID")]
    pub kid: Option<String>,

    /// The configuration of the hub: it tells issuer, key and audience where they are not given
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// For the hub that `petasos serve --dev` starts
    #[arg(long)]
    pub dev: bool,
}

fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::parse(name).ok_or_else(|| {
        let names: Vec<&str> = Algorithm::ALL.into_iter().map(Algorithm::as_str).collect();
        format!("there are {}", names.join(", "))
    })
}

fn json_object(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if value.is_object() {
        Ok(value)
    } else {
        Err("it must be a JSON object, such as {\"name\":\"Ada\"}".into())
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = duration::parse(text)?;
    if lifetime < Duration::from_secs(1) {
        return Err("a token that has expired already is of no use".into());
    }
    if lifetime > ABSURD_LIFETIME {
        return Err("a token cannot be revoked: ten years are the most".into());
    }
    Ok(lifetime)
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum MintCommandError {
    #[error(
        "the token would grant nothing: name topics with --publish, --publish-pattern, --subscribe or --subscribe-pattern"
    )]
    NoGrants,
    #[error(transparent)]
    Defaults(#[from] DefaultsError),
    #[error("the key file {} cannot be read: {error}", path.display())]
    KeyFile { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Mint(#[from] MintError),
}

/// A token, and what its maker should know about it.
#[derive(Debug)]
pub(super) struct Minted {
    pub(super) token: String,
    pub(super) warnings: Vec<String>,
}

/// Mints what the flags ask for.
pub(super) fn mint(args: &MintArgs) -> Result<Minted, MintCommandError> {
    let grants = |topics: &[String], patterns: &[String]| -> Vec<Grant> {
        let grant = if args.legacy { Grant::selector } else { Grant::exact };
        topics.iter().map(grant).chain(patterns.iter().map(Grant::pattern)).collect()
    };
    let publish = grants(&args.publish, &args.publish_pattern);
    let subscribe = grants(&args.subscribe, &args.subscribe_pattern);
    if publish.is_empty() && subscribe.is_empty() {
        return Err(MintCommandError::NoGrants);
    }
    let roles = Roles { publisher: !publish.is_empty(), subscriber: !subscribe.is_empty() };
    let mut warnings = Vec::new();
    let key = given_key(args)?;
    if args.legacy {
        return mint_old(args, key, roles, publish, subscribe);
    }
    let config = match missing(args, key.is_some()) {
        None => None,
        Some(missing) => Some(defaults::read(&config_args(args.config.clone(), args.dev), missing)?),
    };
    let (issuer, key, algorithm) = match (key, &config) {
        (Some(key), config) => {
            let issuer = match (&args.issuer, config) {
                (Some(issuer), _) => issuer.clone(),
                (None, Some(config)) => defaults::issuer_id(config)?,
                (None, None) => return Err(unclear("give the issuer with --issuer")),
            };
            let algorithm = mint::algorithm_for(&key);
            (issuer, key, algorithm)
        }
        (None, Some(config)) => {
            let signer = defaults::signer(config, args.issuer.as_deref(), roles)?;
            (signer.issuer, signer.key, signer.algorithm)
        }
        (None, None) => return Err(unclear("give a key with --key-file")),
    };
    let algorithm = args.alg.unwrap_or(algorithm);
    let audience = match &config {
        Some(config) if args.audience.is_empty() => {
            let (audience, guessed) = defaults::audience(config)?;
            // The demo's address is known; it is no guess.
            if guessed && !args.dev {
                warnings.push(format!(
                    "the audience is {audience}, from the address that the hub listens on; if clients use another URL, \
                     give that with --audience"
                ));
            }
            vec![audience]
        }
        _ => args.audience.clone(),
    };
    let lifetime = lifetime_of(args);
    warnings.extend(unwise(lifetime, &key, algorithm));
    let request = MintRequest {
        issuer,
        audience,
        subject: args.subject.clone(),
        key_id: args.kid.clone(),
        lifetime,
        publish,
        subscribe,
        payload: args.payload.clone(),
    };
    Ok(Minted { token: mint::mint(&request, &key, algorithm)?, warnings })
}

/// Mints a token of version 0.x. Neither issuer nor audience stand in it; an issuer that is given chooses the key.
fn mint_old(
    args: &MintArgs,
    key: Option<Secret>,
    roles: Roles,
    publish: Vec<Grant>,
    subscribe: Vec<Grant>,
) -> Result<Minted, MintCommandError> {
    let mut warnings = Vec::new();
    let (key, algorithm) = match key {
        Some(key) => {
            let algorithm = mint::algorithm_for(&key);
            (key, algorithm)
        }
        None => {
            let config = defaults::read(&config_args(args.config.clone(), args.dev), "the key (--key-file)")?;
            if config.auth.compatibility.is_none() {
                warnings.push(
                    "the hub of this configuration does not read tokens of version 0.x: protocol_version_compatibility is off"
                        .to_owned(),
                );
            }
            let signer = defaults::old_signer(&config, args.issuer.as_deref(), roles)?;
            (signer.key, signer.algorithm)
        }
    };
    if !args.publish_pattern.is_empty() || !args.subscribe_pattern.is_empty() {
        warnings
            .push("hubs of version 0.x do not know URL patterns: other hubs may refuse the token".to_owned());
    }
    let (algorithm, lifetime) = (args.alg.unwrap_or(algorithm), lifetime_of(args));
    warnings.extend(unwise(lifetime, &key, algorithm));
    let request = OldMintRequest {
        subject: args.subject.clone(),
        key_id: args.kid.clone(),
        lifetime,
        publish,
        subscribe,
        payload: args.payload.clone(),
    };
    Ok(Minted { token: mint::mint_old(&request, &key, algorithm)?, warnings })
}

/// The flag has a default; only code can leave it out.
fn lifetime_of(args: &MintArgs) -> Duration {
    args.expires_in.unwrap_or(Duration::from_secs(3600))
}

/// What can be done, and is better not.
fn unwise(lifetime: Duration, key: &Secret, algorithm: Algorithm) -> Vec<String> {
    let mut warnings = Vec::new();
    if lifetime > LONG_LIFETIME {
        let days = lifetime.as_secs() / 86_400;
        warnings.push(format!("the token is valid for {days} days and cannot be revoked before"));
    }
    if algorithm.is_symmetric() && key.expose().len() < hash_bytes(algorithm) {
        warnings.push(format!(
            "the secret is shorter than the {} bytes that {} should have",
            hash_bytes(algorithm),
            algorithm.as_str()
        ));
    }
    warnings
}

fn unclear(text: &str) -> MintCommandError {
    DefaultsError::Unclear(text.to_owned()).into()
}

/// The flags for which the configuration is needed.
fn missing(args: &MintArgs, has_key: bool) -> Option<&'static str> {
    match (has_key, args.issuer.is_some(), args.audience.is_empty()) {
        (false, _, _) => Some("the key (--key-file)"),
        (true, false, _) => Some("the issuer (--issuer)"),
        (true, true, true) => Some("the audience (--audience)"),
        (true, true, false) => None,
    }
}

fn given_key(args: &MintArgs) -> Result<Option<Secret>, MintCommandError> {
    let Some(path) = &args.key_file else { return Ok(args.key.clone()) };
    let bytes =
        std::fs::read(path).map_err(|error| MintCommandError::KeyFile { path: path.clone(), error })?;
    // One line break at the end is the editor's, as it is for the hub's own secret files.
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    Ok(Some(Secret::new(text)))
}

/// Output of the algorithm's hash: what a secret should have at least (RFC 7518, 3.2).
fn hash_bytes(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    }
}
