//! A report as one page: nothing is loaded from elsewhere, no script is needed, and it follows the reader's choice of
//! light or dark.

use std::{fmt::Write as _, fs, path::Path};

use super::{
    chart::{Chart, Line},
    error::BenchError,
    figures::{duration_us, label, plain, with_unit},
    histogram::Summary,
    report::{Report, Run, Sample, Subject},
    text::faults,
};

/// Lines in one chart.
const MOST_LINES: usize = 4;

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2rem auto; padding: 0 1rem;
  background: Canvas; color: CanvasText; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid color-mix(in srgb, CanvasText 20%, Canvas); }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; } svg text { fill: CanvasText; }
.fault { border-left: 4px solid #d55e00; padding-left: .8rem; }
small, .note { color: color-mix(in srgb, CanvasText 75%, Canvas); }
";

/// Writes the page.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn save(report: &Report, path: &Path) -> Result<(), BenchError> {
    let failed = |error| BenchError::File { path: path.to_owned(), verb: "written", error };
    fs::write(path, page(report)).map_err(failed)
}

/// The page.
pub(crate) fn page(report: &Report) -> String {
    let mut page = String::new();
    let title = format!("petasos bench {}", report.scenario);
    // Writing to a string does not fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{0}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
        escaped(&title)
    );
    let environment = &report.environment;
    let _ = writeln!(
        page,
        "<p class=\"note\">{}, {} cores ({}), {}, petasos {}, load before: {}</p>",
        escaped(&environment.date),
        environment.cores,
        escaped(&environment.processor),
        escaped(&environment.kernel),
        escaped(&environment.version),
        escaped(&environment.load_before)
    );
    page.push_str(&fault_list(report));
    page.push_str(&figures(report));
    for note in &report.notes {
        let _ = writeln!(page, "<p class=\"note\">{}</p>", escaped(note));
    }
    for (heading, svg) in charts(report) {
        let _ = writeln!(page, "<h2>{heading}</h2>\n{svg}");
    }
    page.push_str(&settings(report));
    page.push_str("</body>\n</html>\n");
    page
}

fn fault_list(report: &Report) -> String {
    let mut list = String::new();
    for (index, run) in report.runs.iter().enumerate() {
        for line in faults(run) {
            let _ = writeln!(list, "<li>run {} ({}): {}</li>", index + 1, run.subject.name(), escaped(&line));
        }
    }
    if list.is_empty() { list } else { format!("<ul class=\"fault\">\n{list}</ul>\n") }
}

/// All subjects side by side.
fn figures(report: &Report) -> String {
    let mut text = String::from("<table>\n<tr><th></th>");
    for medians in &report.medians {
        let runs = if medians.runs == 1 { "run" } else { "runs" };
        let _ = write!(text, "<th>{} <small>({} {runs})</small></th>", medians.subject.name(), medians.runs);
    }
    for ratios in &report.ratios {
        let _ = write!(text, "<th>hub / {}</th>", ratios.to.name());
    }
    text.push_str("</tr>\n");
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in report.medians.iter().flat_map(|medians| medians.figures.iter()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let _ = write!(text, "<tr><td>{}</td>", escaped(&label(name)));
        for medians in &report.medians {
            let value = medians.figures.get(name).map_or_else(String::new, |value| with_unit(name, value));
            let _ = write!(text, "<td>{}</td>", escaped(&value));
        }
        for ratios in &report.ratios {
            let value =
                ratios.figures.get(name).map_or_else(String::new, |value| format!("{} ×", plain(value)));
            let _ = write!(text, "<td>{value}</td>");
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</table>\n");
    text
}

fn settings(report: &Report) -> String {
    let mut text = String::from("<h2>Settings</h2>\n<table>\n");
    for (name, value) in &report.settings {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{}</td></tr>",
            escaped(&name.replace('_', " ")),
            escaped(&value)
        );
    }
    text.push_str("</table>\n");
    text
}

/// Heading and picture of each chart for which there are figures.
fn charts(report: &Report) -> Vec<(&'static str, String)> {
    let mut charts = Vec::new();
    for (heading, of) in [
        ("Latency of deliveries", (|run: &Run| run.delivery_latency.clone()) as fn(&Run) -> Option<Summary>),
        ("Latency of publishes", |run: &Run| run.publish_latency.clone()),
    ] {
        let lines =
            lines(report, |run| of(run).map(|latency| percentile_curve(&latency)).unwrap_or_default());
        charts.push((
            heading,
            Chart {
                x_title: "percentile",
                y_title: "latency",
                x_label: nines_label,
                y_label: duration_us,
                logarithmic: true,
                lines,
            },
        ));
    }
    let course = |of: fn(&Sample) -> Option<f64>| {
        lines(report, |run| {
            run.course.iter().filter_map(|sample| Some((sample.at_seconds, of(sample)?))).collect()
        })
    };
    let over_time = |y_title, y_label, lines| Chart {
        x_title: "seconds",
        y_title,
        x_label: |seconds| format!("{seconds}"),
        y_label,
        logarithmic: false,
        lines,
    };
    let delivers = report.runs.iter().any(|run| run.delivery_latency.is_some());
    if delivers {
        let lines = course(|sample| Some(sample.deliveries_per_second));
        charts.push(("Deliveries a second", over_time("per second", plain, lines)));
    }
    let lines = course(|sample| Some(sample.publishes_per_second));
    charts.push(("Publishes a second", over_time("per second", plain, lines)));
    let lines = course(|sample| sample.cpu_percent);
    charts.push(("CPU time of the server", over_time("% of a core", plain, lines)));
    let lines = course(|sample| sample.rss_bytes.map(|bytes| (bytes >> 10) as f64 / 1024.0));
    charts.push(("Memory of the server", over_time("MiB", plain, lines)));
    charts.into_iter().filter_map(|(heading, chart)| Some((heading, chart.svg()?))).collect()
}

/// A line for each of the first runs that have one.
fn lines(report: &Report, of: impl Fn(&Run) -> Vec<(f64, f64)>) -> Vec<Line> {
    let several = |subject: Subject| report.runs.iter().filter(|run| run.subject == subject).count() > 1;
    let named = |(index, run): (usize, &Run)| {
        let number = if several(run.subject) { format!(" (run {})", index + 1) } else { String::new() };
        Line { name: format!("{}{number}", run.subject.name()), points: of(run) }
    };
    report
        .runs
        .iter()
        .enumerate()
        .map(named)
        .filter(|line| !line.points.is_empty())
        .take(MOST_LINES)
        .collect()
}

/// Percentiles over the number of nines: 90 % is 1, 99 % is 2.
fn percentile_curve(latency: &Summary) -> Vec<(f64, f64)> {
    let point = |(percent, us): &(f64, u64)| {
        let rest = 1.0 - percent / 100.0;
        // No axis goes to 100 %.
        (rest > 1e-9).then(|| (-rest.log10(), *us as f64))
    };
    latency.percentiles_us.iter().filter_map(point).collect()
}

/// 90 % for 1, 99 % for 2, 99.9 % for 3; nothing in between.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // At most as many nines as there are percentiles.
fn nines_label(nines: f64) -> String {
    let whole = nines.round();
    if (nines - whole).abs() > 0.01 {
        return String::new();
    }
    format!("{:.*} %", (whole - 2.0).max(0.0) as usize, 100.0 - 100.0 / 10_f64.powf(whole))
}

/// Text that means itself.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{environment::Environment, histogram::Latencies};

    #[test]
    fn percentiles_are_named_where_they_are_round() {
        let labels = [0.0, 0.5, 1.0, 2.0, 3.0, 4.0].map(nines_label);
        assert_eq!(labels, ["0 %", "", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn a_page_has_charts_and_nothing_from_elsewhere() {
        let mut run = Run::of(Subject::Hub);
        let mut latencies = Latencies::default();
        (1..1000).for_each(|us| latencies.record_ns(us * 1000));
        run.delivery_latency = latencies.summary();
        run.figures.set("delivery_p50_us", 500.0);
        run.faults.updates.lost = 3;
        for at in 1..5 {
            run.course.push(Sample {
                at_seconds: f64::from(at),
                rss_bytes: Some(1 << 20),
                ..Sample::default()
            });
        }
        let settings = serde_json::Map::from_iter([("hub".to_owned(), "https://x.test/<script>".into())]);
        let page = page(&Report::new("fanout", Vec::new(), settings, Environment::here(), vec![run]));
        assert_eq!(page.matches("<svg").count(), 4, "two latencies of which one is empty, three courses");
        for reference in ["src=", "href", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(reference), "{reference}");
        }
        assert!(page.contains("<li>run 1 (hub): 3 updates lost</li>"), "{page}");
        assert!(page.contains("https://x.test/&lt;script&gt;"), "{page}");
    }
}
