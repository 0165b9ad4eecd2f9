//! What a subscriber asks for: the parameters of the query component and of a `QUERY` body (S02 to S08), and the cursor.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName};

use super::{
    HttpLimits,
    fault::Fault,
    form,
    generation::{Habits, OldHabit},
    response::Rejection,
};
use crate::topic::{Base, MatchType, Matcher};

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Parameters besides the matchers that a request may have. Unknown ones are ignored (S08), but not without end.
const MAX_OTHER_PARAMETERS: usize = 1_000;

/// Variables in the URI Templates of one subscriber. Each costs one look at the whole of every topic that no literal part
/// tells apart, up to 40 µs for one of 8 KiB; without a bound a body of 1 MiB could have 250,000.
const MAX_VARIABLES: usize = 4_000;

/// After so many compiled matchers other tasks get a chance: a URL pattern takes tens of microseconds.
const MATCHERS_AT_A_TIME: usize = 32;

/// The parameters, decoded but not compiled.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    matchers: Vec<(MatchType, String)>,
    last_event_id: Option<String>,
    /// By a parameter of the 0.x generation (L06).
    old_cursor: Option<String>,
    /// The 0.x generation is served as well.
    compatible: bool,
    habits: Habits,
}

impl Parameters {
    /// None yet. `compatible`: the 0.x generation is served as well. `habits` takes note of what belongs to it.
    pub(super) fn new(compatible: bool, habits: Habits) -> Self {
        Self { compatible, habits, ..Self::default() }
    }

    /// Adds the parameters of a query component or a body. Of `last_event_id` the first one counts, so the query
    /// component is to be read before the body (S02).
    ///
    /// # Errors
    /// 400 for what S05, S06 and S07 refuse, and for `topic` where the 0.x generation is not served (L02).
    pub(super) fn read(&mut self, input: &[u8], limits: &HttpLimits) -> Result<(), Rejection> {
        let max_parameters = limits.matchers.saturating_add(MAX_OTHER_PARAMETERS);
        for pair in form::parse(input, max_parameters) {
            let pair = pair.map_err(|_| too_many(limits))?;
            let match_type = match &*pair.name {
                b"match" | b"match_exact" => MatchType::Exact,
                b"match_urlpattern" => MatchType::UrlPattern,
                b"topic" => {
                    self.habits.note(OldHabit::TopicParameter);
                    if !self.compatible {
                        return Err(Rejection::new(Fault::TopicParameter));
                    }
                    MatchType::Topic
                }
                b"last_event_id" => {
                    let value = text("last_event_id", pair)?;
                    self.last_event_id.get_or_insert(value);
                    continue;
                }
                // Some clients write the name of the field in letters of their own: Last-Event-Id (C05).
                name if name == b"lastEventID" || name.eq_ignore_ascii_case(b"Last-Event-ID") => {
                    self.habits.note(OldHabit::Cursor);
                    if self.compatible {
                        let value = text("the cursor", pair)?;
                        self.old_cursor.get_or_insert(value);
                    }
                    continue;
                }
                name if name.len() >= 5 && name[..5].eq_ignore_ascii_case(b"match") => {
                    return Err(Rejection::new(Fault::UnknownMatchParameter));
                }
                _ => continue,
            };
            if self.matchers.len() >= limits.matchers {
                return Err(too_many(limits));
            }
            let value = text("a matcher", pair)?;
            if value.len() > limits.matcher_bytes {
                return Err(Rejection::new(Fault::InvalidMatcher).saying(format!(
                    "A matcher is longer than the limit of {} bytes.",
                    limits.matcher_bytes
                )));
            }
            self.matchers.push((match_type, value));
        }
        Ok(())
    }

    /// The cursor: the request field before the parameter (S02), that before those of the 0.x generation (L06); empty where it was there and empty (R02).
    pub(super) fn cursor(&mut self, headers: &HeaderMap) -> Option<String> {
        match headers.get(&LAST_EVENT_ID) {
            // A field that is not UTF-8 is no id that there ever was, and a client that comes back must not be turned
            // away for it (C01): it gets the answer to an unknown cursor (R04).
            Some(value) => Some(String::from_utf8_lossy(value.as_bytes()).into_owned()),
            None => self.last_event_id.take().or_else(|| self.old_cursor.take()),
        }
    }

    /// Compiles the matchers; each pair of type and value once.
    ///
    /// # Errors
    /// 400 where there is none (S05), one is not valid (S06), or the templates have too many variables (M04).
    pub(super) async fn compile(self, base: &Base) -> Result<Vec<Matcher>, Rejection> {
        if self.matchers.is_empty() {
            let rejection = Rejection::new(Fault::NoMatcher);
            return Err(if self.compatible {
                rejection
                    .saying("At least one of match, match_exact, match_urlpattern and topic is required.")
            } else {
                rejection
            });
        }
        let mut seen = HashSet::with_capacity(self.matchers.len());
        let mut compiled = Vec::with_capacity(self.matchers.len());
        let mut variables = 0;
        for (match_type, value) in &self.matchers {
            if !seen.insert((*match_type, value)) {
                continue;
            }
            let matcher = Matcher::new(*match_type, value, base).map_err(|error| {
                // These texts are made for the caller and carry no internals of a parser (S06).
                let prefix = if *match_type == MatchType::Topic { "" } else { "match_" };
                Rejection::new(Fault::InvalidMatcher)
                    .saying(format!("A value of {prefix}{} is {error}.", match_type.as_str()))
            })?;
            variables += matcher.variables();
            if variables > MAX_VARIABLES {
                return Err(Rejection::new(Fault::InvalidMatcher).saying(format!(
                    "The values of topic have more variables together than the limit of {MAX_VARIABLES}."
                )));
            }
            compiled.push(matcher);
            if compiled.len() % MATCHERS_AT_A_TIME == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(compiled)
    }
}

fn text(what: &'static str, pair: form::Pair<'_>) -> Result<String, Rejection> {
    pair.into_text().map_err(|_| {
        Rejection::new(Fault::InvalidUtf8)
            .saying(format!("The value of {what} is not UTF-8 after percent-decoding."))
    })
}

fn too_many(limits: &HttpLimits) -> Rejection {
    Rejection::new(Fault::TooManyMatchers).saying(format!(
        "There are more parameters than this hub takes: the limit is {} matchers.",
        limits.matchers
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inputs: &[&str]) -> Result<Parameters, &'static str> {
        let mut parameters = Parameters::default();
        for input in inputs {
            parameters
                .read(input.as_bytes(), &HttpLimits::default())
                .map_err(|rejection| rejection.code())?;
        }
        Ok(parameters)
    }

    fn matchers(inputs: &[&str]) -> Vec<(MatchType, String)> {
        read(inputs).expect("parameters").matchers
    }

    #[test]
    fn s03_the_three_names_in_any_mix() {
        assert_eq!(
            matchers(&["match=a&match_exact=b&match_urlpattern=%2F%3Aid&match=c"]),
            [
                (MatchType::Exact, "a".to_owned()),
                (MatchType::Exact, "b".to_owned()),
                (MatchType::UrlPattern, "/:id".to_owned()),
                (MatchType::Exact, "c".to_owned()),
            ]
        );
    }

    #[test]
    fn s02_the_union_of_query_component_and_body() {
        assert_eq!(
            matchers(&["match=a", "match_urlpattern=b"]),
            [(MatchType::Exact, "a".to_owned()), (MatchType::UrlPattern, "b".to_owned())]
        );
    }

    #[test]
    fn s02_the_cursor_comes_from_the_field_then_the_query_component_then_the_body() {
        let mut field = HeaderMap::new();
        field.insert("last-event-id", "f".parse().expect("a value"));
        let cursor = |inputs: &[&str], headers: &HeaderMap| read(inputs).expect("parameters").cursor(headers);
        let none = HeaderMap::new();
        assert_eq!(cursor(&["last_event_id=q", "last_event_id=b"], &field).as_deref(), Some("f"));
        assert_eq!(cursor(&["last_event_id=q", "last_event_id=b"], &none).as_deref(), Some("q"));
        assert_eq!(cursor(&["match=x", "last_event_id=b&last_event_id=c"], &none).as_deref(), Some("b"));
        assert_eq!(cursor(&["last_event_id"], &none).as_deref(), Some(""));
        assert_eq!(
            cursor(&["Last-Event-ID=x&lastEventID=y&Last-Event-Id=z"], &none),
            None,
            "names of the 0.x generation (L06)"
        );
        field.insert("last-event-id", "".parse().expect("a value"));
        assert_eq!(cursor(&["last_event_id=q"], &field).as_deref(), Some(""));
        field.insert("last-event-id", http::HeaderValue::from_bytes(b"\xe9").expect("a value"));
        assert!(cursor(&[], &field).is_some_and(|cursor| !cursor.is_empty()));
    }

    #[test]
    fn s05_other_names_in_the_match_namespace_are_refused_in_any_case() {
        for name in [
            "Match",
            "MATCH",
            "match_",
            "match_Exact",
            "MATCH_exact",
            "matchURLPattern",
            "matches",
            "m%41tch",
            "match%FF",
        ] {
            assert_eq!(read(&[&format!("match=a&{name}=b")]), Err("unknown_match_parameter"), "{name}");
        }
    }

    #[test]
    fn s08_other_names_are_ignored_whatever_their_values_are() {
        assert_eq!(
            matchers(&["mat=1&xmatch=2&authorization=x&a=%FF&%FF=b&match=a"]),
            [(MatchType::Exact, "a".to_owned())]
        );
    }

    #[test]
    fn s06_invalid_utf8_is_refused() {
        for input in ["match=%FF", "match_urlpattern=a%C3", "last_event_id=%FF"] {
            assert_eq!(read(&[input]), Err("invalid_utf8"), "{input}");
        }
    }

    async fn compiled(input: &str) -> Result<usize, &'static str> {
        let mut parameters = Parameters::new(true, Habits::default());
        parameters.read(input.as_bytes(), &HttpLimits::default()).map_err(|rejection| rejection.code())?;
        let base = Base::parse("https://hub.example/.well-known/mercure").expect("a base");
        parameters.compile(&base).await.map(|compiled| compiled.len()).map_err(|rejection| rejection.code())
    }

    #[tokio::test]
    async fn m04_the_variables_of_one_subscriber_are_bounded() {
        let templates = |count: usize| {
            let template = |n| format!("topic=/{n}{}&", "%7Ba:9%7D".repeat(40));
            (0..count).map(template).collect::<String>()
        };
        assert_eq!(compiled(&templates(100)).await, Ok(100));
        assert_eq!(compiled(&(templates(100) + "topic=%7Ba%7D")).await, Err("invalid_matcher"));
        assert_eq!(compiled(&templates(100).repeat(2)).await, Ok(100), "each counts once");
        let usual: String = (0..1_000).map(|n| format!("topic=/{n}/%7Bid%7D%7B?page,sort%7D&")).collect();
        assert_eq!(compiled(&usual).await, Ok(1_000));
    }

    #[test]
    fn c05_l06_the_old_cursor_is_read_in_any_case_of_the_name_of_the_field() {
        for name in ["lastEventID", "Last-Event-ID", "Last-Event-Id", "last-event-id", "LAST-EVENT-ID"] {
            let habits = Habits::default();
            let mut parameters = Parameters::new(true, habits.clone());
            let input = format!("topic=a&{name}=x");
            assert!(parameters.read(input.as_bytes(), &HttpLimits::default()).is_ok());
            assert_eq!(parameters.cursor(&HeaderMap::new()).as_deref(), Some("x"), "{name}");
            assert!(habits.has(OldHabit::Cursor), "{name}");
        }
        let mut parameters = Parameters::new(true, Habits::default());
        assert!(parameters.read(b"match=a&LASTEVENTID=x&LastEventId=y", &HttpLimits::default()).is_ok());
        assert_eq!(parameters.cursor(&HeaderMap::new()), None);
    }

    #[test]
    fn l02_topic_is_refused_beside_matchers_too() {
        assert_eq!(read(&["match=a&topic=b"]), Err("topic_parameter"));
        assert_eq!(read(&["match=a", "topic"]), Err("topic_parameter"));
        assert!(read(&["match=a&Topic=b"]).is_ok());
    }

    #[test]
    fn s07_the_number_and_the_length_of_matchers_are_limited() {
        let thousand = "match=a&".repeat(1_000);
        assert!(read(&[&thousand]).is_ok());
        assert_eq!(read(&[&thousand, "match=a"]), Err("too_many_matchers"));
        assert_eq!(read(&[&"x&".repeat(2_001)]), Err("too_many_matchers"));
        assert!(read(&[&format!("match={}", "a".repeat(8 << 10))]).is_ok());
        assert_eq!(read(&[&format!("match={}", "a".repeat((8 << 10) + 1))]), Err("invalid_matcher"));
    }
}
