//! Logs: text for people, JSON for machines, one line per event, on standard error.

mod redact;

use std::io::{self, IsTerminal, Write};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::{LogConfig, LogFormat};

/// Crates that tell what goes over the wire, tokens and topics among it. Their warnings are welcome; more is not told,
/// whatever the filter says.
const TALKATIVE: [&str; 9] =
    ["h2", "hyper", "hyper_util", "reqwest", "rustls", "tokio_rustls", "tower_http", "axum", "tungstenite"];

/// Starts to log. Where somebody logs already, as in tests, that goes on.
///
/// # Errors
/// The filter is none.
pub fn init(config: &LogConfig) -> Result<(), String> {
    let colours =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let layer = layer(config, io::stderr, colours)?;
    // An error means that there is a subscriber already.
    let _ = tracing_subscriber::registry().with(layer).try_init();
    Ok(())
}

fn layer<S, W>(config: &LogConfig, writer: W, colours: bool) -> Result<impl Layer<S> + use<S, W>, String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|error| format!("log.filter {:?} is not understood: {error}", config.filter))?
        .and(filter_fn(is_discreet));
    let lines = Lines(writer);
    let layer = tracing_subscriber::fmt::layer().with_writer(lines);
    Ok(match config.format {
        LogFormat::Text => layer.with_ansi(colours).with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    }
    .with_filter(filter))
}

fn is_discreet(metadata: &Metadata<'_>) -> bool {
    let origin = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::WARN || !TALKATIVE.contains(&origin)
}

/// Makes writers that write one [discreet](redact) line per event.
struct Lines<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Lines<W> {
    type Writer = LineWriter<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        LineWriter(self.0.make_writer())
    }
}

struct LineWriter<W>(W);

impl<W: Write> Write for LineWriter<W> {
    /// The formatter hands in a whole event at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = redact::one_line(text.strip_suffix('\n').unwrap_or(&text));
        self.0.write_all(format!("{}\n", redact::secrets(&line)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, events: impl FnOnce()) -> String {
        let log = Log::default();
        let config = LogConfig { format, filter: filter.to_owned() };
        let writer = log.clone();
        let layer = layer(&config, move || writer.clone(), false).expect("a filter");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
        String::from_utf8(log.0.lock().clone()).expect("text")
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, "info", || {
                tracing::info!(detail = %"first\nsecond\r\n2026-01-01 ERROR forged", "a\nb");
            });
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(text.ends_with('\n') && text.contains("forged") && !text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn json_is_json() {
        let text = logged(LogFormat::Json, "info", || {
            let span = tracing::info_span!("request", id = "7");
            span.in_scope(|| tracing::warn!(status = 401, "refused"));
        });
        let event: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(event["level"], "WARN");
        assert_eq!(event["message"], "refused");
        assert_eq!(event["status"], 401);
        assert_eq!(event["span"]["id"], "7");
    }

    #[test]
    fn tokens_and_queries_are_not_told() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, "trace", || {
                tracing::info!(
                    url = "https://hub.example/.well-known/mercure?match=private",
                    "token {token}"
                );
                tracing::info!("Authorization: Bearer {token}");
            });
            assert!(!text.contains("private") && !text.contains("eyJ"), "{text}");
            assert!(text.contains("https://hub.example/.well-known/mercure?"), "{text}");
        }
    }

    #[test]
    fn what_goes_over_the_wire_is_not_told_even_where_the_filter_says_so() {
        let text = logged(LogFormat::Text, "trace,h2=trace", || {
            tracing::debug!(target: "h2::codec::framed_read", "secret");
            tracing::warn!(target: "h2::codec::framed_read", "a warning");
            tracing::trace!(target: "petasos::serve", "ours");
        });
        assert!(!text.contains("secret") && text.contains("a warning") && text.contains("ours"), "{text}");
    }

    #[test]
    fn a_filter_that_is_none_is_an_error() {
        let config = LogConfig { format: LogFormat::Text, filter: "petasos=loud".to_owned() };
        assert!(init(&config).expect_err("no filter").contains("petasos=loud"));
    }
}
