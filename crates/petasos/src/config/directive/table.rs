//! Which directives there are and what becomes of each. The documentation's table is made from this one.

/// A directive of the reference hub.
#[derive(Debug)]
pub(in super::super) struct DirectiveSpec {
    pub(in super::super) name: &'static str,
    /// What follows the name.
    pub(in super::super) form: &'static str,
    pub(super) effect: Effect,
}

/// What becomes of a directive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    /// Sets an option.
    Sets { option: &'static str, arguments: Arguments },
    /// Sets `server.drain_timeout`, except that `0s` is our default.
    DrainTimeout,
    /// `transport NAME { … }`.
    Transport,
    /// `issuer ID { … }`.
    Issuer,
    /// Accepted, as what it tunes does not exist here.
    Untuned,
    /// Accepted with a warning: the page it turns on is not there yet.
    PageNotYet,
    /// `publisher_jwt` and `subscriber_jwt`: a key of the 0.x generation, and the algorithm that may follow it.
    OldKey { key: &'static str, algorithm: &'static str },
}

/// How many arguments a directive has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    /// None: the directive is a switch.
    None,
    One,
    OneOrMore,
}

const PUBLISHER_KEY: &str = "legacy.publisher_jwt_key";
const PUBLISHER_ALGORITHM: &str = "legacy.publisher_jwt_alg";
const SUBSCRIBER_KEY: &str = "legacy.subscriber_jwt_key";
const SUBSCRIBER_ALGORITHM: &str = "legacy.subscriber_jwt_alg";

const fn sets(
    name: &'static str,
    form: &'static str,
    option: &'static str,
    arguments: Arguments,
) -> DirectiveSpec {
    DirectiveSpec { name, form, effect: Effect::Sets { option, arguments } }
}

const fn other(name: &'static str, form: &'static str, effect: Effect) -> DirectiveSpec {
    DirectiveSpec { name, form, effect }
}

/// All directives, in the order in which the documentation shows them.
pub(in super::super) static DIRECTIVES: &[DirectiveSpec] = &[
    other("issuer", "ID { authorization_server, publisher { … }, subscriber { … } }", Effect::Issuer),
    sets("resource_identifier", "URL", "resource_identifier", Arguments::One),
    sets("public_urls", "URL…", "public_urls", Arguments::OneOrMore),
    sets("anonymous", "", "auth.anonymous", Arguments::None),
    sets("publish_origins", "ORIGIN…", "auth.publish_origins", Arguments::OneOrMore),
    sets("cors_origins", "ORIGIN…", "cors.origins", Arguments::OneOrMore),
    sets("cookie_name", "NAME", "auth.cookie_name", Arguments::One),
    sets("subscriptions", "", "hub.subscriptions", Arguments::None),
    sets("heartbeat", "DURATION", "hub.heartbeat", Arguments::One),
    sets("write_timeout", "DURATION", "hub.write_timeout", Arguments::One),
    sets("dispatch_timeout", "DURATION", "hub.dispatch_timeout", Arguments::One),
    sets("max_request_body_size", "SIZE", "limits.body", Arguments::One),
    sets("name", "NAME", "name", Arguments::One),
    other("drain_timeout", "DURATION", Effect::DrainTimeout),
    other("transport", "NAME { path, size, … }", Effect::Transport),
    sets("transport_url", "URL", "transport.url", Arguments::One),
    sets("bucket_name", "NAME", "transport.bucket", Arguments::One),
    other("topic_matcher_cache", "ENTRIES", Effect::Untuned),
    other("topic_selector_cache", "ENTRIES…", Effect::Untuned),
    other("subscriber_list_cache_size", "ENTRIES", Effect::Untuned),
    other("cleanup_frequency", "PROBABILITY", Effect::Untuned),
    other("debugger", "", Effect::PageNotYet),
    other("ui", "", Effect::PageNotYet),
    other("playground", "", Effect::PageNotYet),
    other("demo", "", Effect::PageNotYet),
    sets("protocol_version_compatibility", "VERSION", "protocol_version_compatibility", Arguments::One),
    other(
        "publisher_jwt",
        "KEY [ALGORITHM]",
        Effect::OldKey { key: PUBLISHER_KEY, algorithm: PUBLISHER_ALGORITHM },
    ),
    other(
        "subscriber_jwt",
        "KEY [ALGORITHM]",
        Effect::OldKey { key: SUBSCRIBER_KEY, algorithm: SUBSCRIBER_ALGORITHM },
    ),
    sets("publisher_jwks_url", "URL", "legacy.publisher_jwks", Arguments::One),
    sets("subscriber_jwks_url", "URL", "legacy.subscriber_jwks", Arguments::One),
];

impl DirectiveSpec {
    /// What it does here, for the documentation.
    pub(in super::super) fn meaning(&self) -> String {
        match self.effect {
            Effect::Sets { option, .. } => format!("Sets `{option}`."),
            Effect::DrainTimeout => "Sets `server.drain_timeout`; `0s` leaves it at its default.".to_owned(),
            Effect::Transport => "Sets `transport.url`, see below.".to_owned(),
            Effect::Issuer => "Adds an issuer, see below. Replaces the `[[issuers]]` of the file.".to_owned(),
            Effect::Untuned => "Accepted without effect; a line at start says so.".to_owned(),
            Effect::PageNotYet => {
                "Accepted with a warning: the page is not there yet. Nothing is relaxed.".to_owned()
            }
            Effect::OldKey { key, algorithm } => format!("Sets `{key}` and `{algorithm}`."),
        }
    }
}
