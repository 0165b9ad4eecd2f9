//! `petasos bench compare`: two results side by side.

use std::{fmt::Write as _, path::Path};

use super::{
    error::BenchError,
    figures::{label, more_is_better, plain, with_unit},
    report::Report,
    text::{aligned, faults},
};

/// Changes smaller than this are not worth a word: two runs of the same differ by as much.
const NOTEWORTHY: f64 = 0.05;

/// A table of the medians of both.
///
/// # Errors
/// A file cannot be read, is no result, or of another scenario than the other.
pub(crate) fn compare(first: &Path, second: &Path) -> Result<String, BenchError> {
    let (a, b) = (Report::load(first)?, Report::load(second)?);
    if a.scenario != b.scenario {
        let text =
            format!("{} is of {}, {} of {}", first.display(), a.scenario, second.display(), b.scenario);
        return Err(BenchError::Usage(format!("results of different scenarios cannot be compared: {text}")));
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    for (name, path, report) in [("A", first, &a), ("B", second, &b)] {
        let Report { environment, scenario, .. } = report;
        let _ = writeln!(
            text,
            "{name}: {} ({scenario}, {}, petasos {}, {} × {})",
            path.display(),
            environment.date,
            environment.version,
            environment.cores,
            environment.processor
        );
        for run in &report.runs {
            for line in faults(run) {
                let _ = writeln!(text, "   not sound: {line}");
            }
        }
    }
    for line in differences(&a, &b) {
        let _ = writeln!(text, "differs: {line}");
    }
    text.push('\n');
    text.push_str(&table(&a, &b));
    Ok(text)
}

/// What else is different, so that nobody compares what cannot be compared without noticing.
fn differences(a: &Report, b: &Report) -> Vec<String> {
    let shown = |value: Option<&serde_json::Value>| match value {
        None => "not said".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let mut names: Vec<&String> = a.settings.keys().chain(b.settings.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut lines: Vec<String> = names
        .into_iter()
        .filter(|name| a.settings.get(*name) != b.settings.get(*name))
        .map(|name| {
            format!(
                "{}: {}, {}",
                name.replace('_', " "),
                shown(a.settings.get(name)),
                shown(b.settings.get(name))
            )
        })
        .collect();
    for (what, a, b) in [
        ("processor", &a.environment.processor, &b.environment.processor),
        ("kernel", &a.environment.kernel, &b.environment.kernel),
    ] {
        if a != b {
            lines.push(format!("{what}: {a}, {b}"));
        }
    }
    if a.environment.cores != b.environment.cores {
        lines.push(format!("cores: {}, {}", a.environment.cores, b.environment.cores));
    }
    lines
}

fn table(a: &Report, b: &Report) -> String {
    let mut rows = vec![["", "A", "B", "B / A", ""].map(str::to_owned).to_vec()];
    for medians in &a.medians {
        let Some(other) = b.medians.iter().find(|other| other.subject == medians.subject) else { continue };
        if a.medians.len() > 1 {
            rows.push(vec![format!("{}:", medians.subject.name())]);
        }
        let ratios = other.figures.ratios(&medians.figures);
        for (name, value) in medians.figures.iter() {
            let Some(new) = other.figures.get(name) else { continue };
            let ratio = ratios.get(name);
            rows.push(vec![
                label(name),
                with_unit(name, value),
                with_unit(name, new),
                ratio.map_or_else(String::new, |ratio| format!("{} ×", plain(ratio))),
                ratio.map_or_else(String::new, |ratio| verdict(name, ratio).to_owned()),
            ]);
        }
    }
    aligned(&rows)
}

/// Whether the second one is better, for figures of which that can be said.
fn verdict(name: &str, ratio: f64) -> &'static str {
    let is_cost = name.ends_with("_us") || name.ends_with("_bytes") || name.ends_with("_seconds");
    if (ratio - 1.0).abs() < NOTEWORTHY || !(is_cost || more_is_better(name)) {
        ""
    } else if (ratio > 1.0) == more_is_better(name) {
        "better"
    } else {
        "worse"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{
        environment::Environment,
        report::{Run, Subject},
    };

    fn saved(scenario: &str, subscribers: u64, figures: &[(&str, f64)]) -> tempfile::NamedTempFile {
        let mut run = Run::of(Subject::Hub);
        for (name, value) in figures {
            run.figures.set(*name, *value);
        }
        let settings = serde_json::Map::from_iter([("subscribers".to_owned(), subscribers.into())]);
        let report = Report::new(scenario, Vec::new(), settings, Environment::here(), vec![run]);
        let file = tempfile::NamedTempFile::new().expect("a file");
        report.save(file.path()).expect("written");
        file
    }

    #[test]
    fn both_stand_side_by_side_with_their_ratio() {
        let a = saved(
            "fanout",
            5,
            &[("cpu_per_delivery_us", 8.0), ("deliveries_per_second", 100.0), ("p_us", 1.0)],
        );
        let b = saved(
            "fanout",
            6,
            &[("cpu_per_delivery_us", 4.0), ("deliveries_per_second", 50.0), ("p_us", 1.01)],
        );
        let text = compare(a.path(), b.path()).expect("a table");
        let line = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_else(|| panic!("no {name}: {text}"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("CPU per delivery"), "CPU per delivery 8.00 µs 4.00 µs 0.500 × better");
        assert_eq!(line("deliveries per second"), "deliveries per second 100 /s 50.0 /s 0.500 × worse");
        assert_eq!(line("p "), "p 1.00 µs 1.01 µs 1.01 ×");
        assert!(text.contains("differs: subscribers: 5, 6\n"), "{text}");
    }

    #[test]
    fn different_scenarios_are_refused() {
        let error =
            compare(saved("fanout", 5, &[]).path(), saved("idle", 5, &[]).path()).expect_err("different");
        assert!(error.to_string().contains("different scenarios"), "{error}");
    }
}
