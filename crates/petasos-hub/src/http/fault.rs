//! Everything but a token that a request can be refused for: the status, and the stable code that the caller reads in the
//! body. `docs/troubleshooting.md` explains the codes to callers; codes of tokens are in [`crate::auth::Reason`].

use http::StatusCode;

use crate::UpdateError;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The request does not say which host it is for, or says it twice, or in no way that could be one.
    MalformedHost,
    /// The request is for an origin that this hub does not answer on (D02).
    Misdirected,
    /// The resource exists, but not for this method.
    MethodNotAllowed,
    /// Longer than the limit on request targets.
    TargetTooLong,
    /// A body that is no form, or is compressed.
    UnsupportedMediaType,
    /// A body over its limit (P12).
    BodyTooLarge,
    /// A body that was not finished in time.
    BodyTooSlow,
    /// A body that ended before its end.
    BrokenBody,
    /// More fields or parameters than any use of this hub needs.
    TooManyFields,
    /// A field or parameter that is not UTF-8 after decoding (S06, P04, P07).
    InvalidUtf8,
    /// No matcher at all (S05).
    NoMatcher,
    /// A name in the `match` namespace that this hub does not know (S05).
    UnknownMatchParameter,
    /// The `topic` parameter of the 0.x generation (L02).
    TopicParameter,
    /// A value that is no matcher (S06, S07).
    InvalidMatcher,
    /// Over the limit on matchers (S07).
    TooManyMatchers,
    /// No `topic` (P03).
    MissingTopic,
    /// A character of the set F (P04, P09, P10).
    ForbiddenCharacter,
    /// A topic in the hub's own namespace (P05).
    ReservedTopic,
    /// The topic `*` (P06).
    WildcardTopic,
    /// An id that means something else (P09).
    ReservedId,
    /// The hub's own event type (P10).
    ReservedType,
    /// `retry` is no number (P11).
    MalformedRetry,
    /// A field of the update over its limit (P12).
    UpdateTooLarge,
    /// Over a limit on open streams (S07).
    TooManyStreams,
    /// The match type in the path is unknown (E05).
    UnknownMatchType,
    /// The path is no subscription, or none that is active, or the feature is off (E05).
    NotFound,
    /// The log cannot be read or written now.
    Unavailable,
    /// The hub is shutting down.
    Stopping,
}

impl Fault {
    /// Its status.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge | Self::UpdateTooLarge | Self::TooManyFields => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyStreams => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unavailable | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::MalformedHost
            | Self::BrokenBody
            | Self::InvalidUtf8
            | Self::NoMatcher
            | Self::UnknownMatchParameter
            | Self::TopicParameter
            | Self::InvalidMatcher
            | Self::TooManyMatchers
            | Self::MissingTopic
            | Self::ForbiddenCharacter
            | Self::ReservedTopic
            | Self::WildcardTopic
            | Self::ReservedId
            | Self::ReservedType
            | Self::MalformedRetry
            | Self::UnknownMatchType => StatusCode::BAD_REQUEST,
        }
    }

    /// Its code.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::MalformedHost => "malformed_host",
            Self::Misdirected => "misdirected_request",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TargetTooLong => "target_too_long",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::BrokenBody => "broken_body",
            Self::TooManyFields => "too_many_fields",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::NoMatcher => "no_matcher",
            Self::UnknownMatchParameter => "unknown_match_parameter",
            Self::TopicParameter => "topic_parameter",
            Self::InvalidMatcher => "invalid_matcher",
            Self::TooManyMatchers => "too_many_matchers",
            Self::MissingTopic => "missing_topic",
            Self::ForbiddenCharacter => "forbidden_character",
            Self::ReservedTopic => "reserved_topic",
            Self::WildcardTopic => "wildcard_topic",
            Self::ReservedId => "reserved_id",
            Self::ReservedType => "reserved_type",
            Self::MalformedRetry => "malformed_retry",
            Self::UpdateTooLarge => "update_too_large",
            Self::TooManyStreams => "too_many_streams",
            Self::UnknownMatchType => "unknown_match_type",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::Stopping => "stopping",
        }
    }

    /// What the caller is told where nothing more precise is known.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::MalformedHost => "The request must name one host in its Host field.",
            Self::Misdirected => "This hub does not answer on this origin.",
            Self::MethodNotAllowed => "This resource does not have this method; see the Allow field.",
            Self::TargetTooLong => "The URL is too long; send the parameters in the body of a QUERY request.",
            Self::UnsupportedMediaType => {
                "The body must be application/x-www-form-urlencoded in UTF-8, without a content coding."
            }
            Self::BodyTooLarge => "The body exceeds the limit of this hub.",
            Self::BodyTooSlow => "The body did not arrive in time.",
            Self::BrokenBody => "The body ended before it was complete.",
            Self::TooManyFields => "There are too many fields.",
            Self::InvalidUtf8 => "A field is not UTF-8 after percent-decoding.",
            Self::NoMatcher => "At least one of match, match_exact and match_urlpattern is required.",
            Self::UnknownMatchParameter => {
                "Of the names that begin with match, only match, match_exact and match_urlpattern exist."
            }
            Self::TopicParameter => {
                "The topic parameter belongs to version 0.x of the protocol. Use match for a topic that is compared as it \
                 stands and match_urlpattern for a pattern, or have the operator switch on the compatibility mode \
                 (protocol_version_compatibility 8)."
            }
            Self::InvalidMatcher => "A matcher is not valid.",
            Self::TooManyMatchers => "There are too many matchers.",
            Self::MissingTopic => "At least one topic is required.",
            Self::ForbiddenCharacter => "A field contains a control or format character.",
            Self::ReservedTopic => {
                "The topic lies in the namespace reserved for the hub, /.well-known/mercure."
            }
            Self::WildcardTopic => "The topic * cannot be published: it is the matcher of all topics.",
            Self::ReservedId => "The id must not start with # and must not be earliest.",
            Self::ReservedType => "The type mercure is reserved for the hub.",
            Self::MalformedRetry => "The field retry must be a number of milliseconds in ASCII digits.",
            Self::UpdateTooLarge => "A field of the update exceeds the limit of this hub.",
            Self::TooManyStreams => "There are too many open streams.",
            Self::UnknownMatchType => "The match type must be exact or urlpattern.",
            Self::NotFound => "There is nothing here.",
            Self::Unavailable => "The hub cannot do this now. Try again later.",
            Self::Stopping => "The hub is shutting down. Try again.",
        }
    }
}

impl From<&UpdateError> for Fault {
    fn from(error: &UpdateError) -> Self {
        match error {
            UpdateError::NoTopic => Self::MissingTopic,
            UpdateError::ForbiddenCharacter { .. } => Self::ForbiddenCharacter,
            UpdateError::ReservedTopic => Self::ReservedTopic,
            UpdateError::WildcardTopic => Self::WildcardTopic,
            UpdateError::ReservedId => Self::ReservedId,
            UpdateError::ReservedType => Self::ReservedType,
            UpdateError::BadRetry => Self::MalformedRetry,
            UpdateError::TooLarge { .. } => Self::UpdateTooLarge,
        }
    }
}
