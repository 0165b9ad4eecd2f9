//! `petasos token check`: verifies a token against the configuration of the hub and says which rule refuses it.

use std::{
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

use petasos_hub::{
    auth::{AccessToken, Authenticator, Explanation, Role},
    topic::{Base, MatchType, Matcher, ParsedTopic},
};

use super::{
    config_args,
    defaults::{self, DefaultsError},
    report,
};
use crate::client::target::TOKEN_VARIABLE;

/// The most that is read where a token is expected, in bytes.
const MAX_TOKEN_BYTES: u64 = 1 << 20;

/// Flags of `petasos token check`.
#[derive(Debug, Default, clap::Args)]
pub struct CheckArgs {
    /// The token; `-` reads it from standard input. Better leave it out: then the variable PETASOS_TOKEN or standard
    /// input is read, and no other user of this machine sees it in the list of processes
    #[arg(value_name = "TOKEN", value_parser = access_token)]
    pub token: Option<AccessToken>,

    /// What it is used for [default: what it grants something for]
    #[arg(long, value_enum)]
    pub role: Option<RoleArg>,

    /// The hub it is used on: its URL, unless a resource identifier is configured
    #[arg(long, value_name = "URL")]
    pub audience: Option<String>,

    /// Also check whether it grants this topic. May be given several times
    #[arg(long = "topic", short, value_name = "TOPIC")]
    pub topics: Vec<String>,

    /// The configuration of the hub
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// For the hub that `petasos serve --dev` starts
    #[arg(long)]
    pub dev: bool,
}

fn access_token(text: &str) -> Result<AccessToken, String> {
    Ok(AccessToken::new(text))
}

/// A role on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RoleArg {
    /// POST on the hub
    Publisher,
    /// GET on the hub, and the subscription API
    Subscriber,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Publisher => Self::Publisher,
            RoleArg::Subscriber => Self::Subscriber,
        }
    }
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error("give the token in the variable {TOKEN_VARIABLE} or on standard input")]
    NoToken,
    #[error("standard input cannot be read: {0}")]
    Input(io::Error),
    #[error(transparent)]
    Defaults(#[from] DefaultsError),
    #[error("the keys cannot be used:\n{0}")]
    Keys(petasos_hub::auth::AuthConfigError),
    #[error("{0:?} is not the URL of a hub")]
    Audience(String),
}

/// What came of a check.
#[derive(Debug)]
pub(super) struct Checked {
    /// For standard output.
    pub(super) text: String,
    /// What the hub would say.
    pub(super) accepted: bool,
}

/// Checks the token for every role that is asked for.
pub(super) async fn check(args: &CheckArgs) -> Result<Checked, CheckError> {
    let token = token(args)?;
    let config = defaults::read(&config_args(args.config.clone(), args.dev), "the key to check with")?;
    let audience = match &args.audience {
        Some(audience) => audience.clone(),
        None => defaults::audience(&config)?.0,
    };
    let base = Base::parse(&audience).map_err(|_| CheckError::Audience(audience.clone()))?;
    let authenticator = Authenticator::new(config.auth).map_err(CheckError::Keys)?;
    let mut explanations = Vec::new();
    for role in args.role.map_or(vec![Role::Publisher, Role::Subscriber], |role| vec![role.into()]) {
        explanations.push(authenticator.explain(role, token.as_str(), &audience, &base).await);
    }
    if args.role.is_none() && explanations.iter().any(|explanation| !explanation.granted.is_empty()) {
        // A token that only publishes need not be good for subscribing.
        explanations.retain(|explanation| !explanation.granted.is_empty());
    }
    let mut text = report::contents(&explanations[0]);
    let mut accepted = true;
    for explanation in &explanations {
        let topics = judge_topics(explanation, &args.topics, &base);
        accepted &= explanation.is_accepted() && topics.sufficient;
        text.push_str(&report::verdict(explanation, &audience, &topics.each));
    }
    Ok(Checked { text, accepted })
}

fn token(args: &CheckArgs) -> Result<AccessToken, CheckError> {
    if let Some(token) = args.token.as_ref().filter(|token| token.as_str() != "-") {
        return Ok(token.clone());
    }
    let explicit_input = args.token.is_some();
    let variable = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
    if let Some(token) = variable.filter(|_| !explicit_input) {
        return Ok(AccessToken::new(token.trim()));
    }
    if !explicit_input && io::stdin().is_terminal() {
        return Err(CheckError::NoToken);
    }
    let mut text = String::new();
    io::stdin().lock().take(MAX_TOKEN_BYTES).read_to_string(&mut text).map_err(CheckError::Input)?;
    let token = AccessToken::new(text.trim());
    if token.as_str().is_empty() { Err(CheckError::NoToken) } else { Ok(token) }
}

/// Whether the topics that were asked about are granted.
#[derive(Debug)]
struct Topics {
    each: Vec<(String, bool)>,
    sufficient: bool,
}

fn judge_topics(explanation: &Explanation, topics: &[String], base: &Base) -> Topics {
    let matcher = |(match_type, value): &(MatchType, String)| Matcher::new(*match_type, value, base).ok();
    let matchers: Vec<Matcher> = explanation.granted.iter().filter_map(matcher).collect();
    let granted = |topic: &String| {
        let parsed = ParsedTopic::new(topic);
        matchers.iter().any(|matcher| matcher.matches(&parsed))
    };
    let each: Vec<(String, bool)> = topics.iter().map(|topic| (topic.clone(), granted(topic))).collect();
    let sufficient = match explanation.role {
        // Every topic of an update must be granted to publish it (A14), one of them to read it (A15).
        Role::Publisher => each.iter().all(|(_, granted)| *granted),
        Role::Subscriber => each.is_empty() || each.iter().any(|(_, granted)| *granted),
    };
    Topics { each, sufficient }
}
