//! The two text formats of metrics. The encoder writes OpenMetrics; who does not ask for it gets the older format of
//! Prometheus, in which a counter is described under its full name.

use std::borrow::Cow;

use http::HeaderValue;

/// The format of OpenMetrics.
pub(super) const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The older format.
pub(super) const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Whether a scraper reads OpenMetrics. All that do prefer it.
pub(super) fn wants_open_metrics(accept: Option<&HeaderValue>) -> bool {
    let accept = accept.map_or(&b""[..], HeaderValue::as_bytes);
    String::from_utf8_lossy(accept).to_ascii_lowercase().contains("application/openmetrics-text")
}

/// Turns OpenMetrics into the older format.
pub(super) fn to_plain(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len() + 1024);
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        let line = match line.split(' ').collect::<Vec<_>>()[..] {
            ["#", "EOF"] | ["#", "UNIT", ..] => continue,
            ["#", "TYPE", name, "counter"] => Cow::Owned(format!("# TYPE {name}_total counter")),
            // The type follows on the next line.
            ["#", "HELP", name, ..]
                if lines.peek().is_some_and(|next| *next == format!("# TYPE {name} counter")) =>
            {
                Cow::Owned(line.replacen(name, &format!("{name}_total"), 1))
            }
            _ => Cow::Borrowed(line),
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_under_their_full_name_and_nothing_else_changes() {
        let open = "# HELP mercure_updates Updates accepted.\n# TYPE mercure_updates counter\n\
                    mercure_updates_total 3\n# HELP open Open now.\n# TYPE open gauge\nopen{a=\"b c\"} 2\n# EOF\n";
        let plain = "# HELP mercure_updates_total Updates accepted.\n# TYPE mercure_updates_total counter\n\
                     mercure_updates_total 3\n# HELP open Open now.\n# TYPE open gauge\nopen{a=\"b c\"} 2\n";
        assert_eq!(to_plain(open), plain);
    }

    #[test]
    fn the_encoder_writes_what_is_expected_here() {
        let mut registry = prometheus_client::registry::Registry::default();
        petasos_hub::metrics::Metrics::default().register(&mut registry);
        let mut open = String::new();
        prometheus_client::encoding::text::encode(&mut open, &registry).expect("written");
        let plain = to_plain(&open);
        assert!(
            plain.contains("\n# TYPE mercure_subscribers_total counter\nmercure_subscribers_total 0\n"),
            "{plain}"
        );
        assert!(
            plain.contains("\n# TYPE mercure_subscribers_connected gauge\nmercure_subscribers_connected 0\n")
        );
        assert!(plain.contains("# HELP mercure_updates_failed_total "));
        assert!(!plain.contains("EOF"));
    }

    #[test]
    fn a_scraper_gets_what_it_asks_for() {
        let wants = |accept| wants_open_metrics(Some(&HeaderValue::from_static(accept)));
        assert!(wants("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"));
        assert!(!wants("text/plain"));
        assert!(!wants_open_metrics(None));
    }
}
