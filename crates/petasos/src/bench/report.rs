//! The result of a bench, as `--json` writes it and `compare` reads it. The form has a version: what was written by an
//! earlier program can be compared with what a later one writes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    environment::Environment, error::BenchError, figures::Figures, histogram::Summary, sequence::Faults,
};

/// The version of the form. Fields may be added to it; a change of what one means is a new version.
pub(crate) const VERSION: u32 = 1;

/// All that a bench found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// [`VERSION`].
    pub(crate) petasos_bench: u32,
    /// Which scenario.
    pub(crate) scenario: String,
    /// How the load was made: what a reader must know to understand the latencies.
    pub(crate) notes: Vec<String>,
    /// With which settings.
    pub(crate) settings: serde_json::Map<String, serde_json::Value>,
    /// Where and when.
    pub(crate) environment: Environment,
    /// Each run, in the order in which they were made.
    pub(crate) runs: Vec<Run>,
    /// By subject.
    pub(crate) medians: Vec<Medians>,
    /// The medians of the hub divided by those of each baseline.
    pub(crate) ratios: Vec<Ratios>,
}

/// What was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Subject {
    /// A hub.
    Hub,
    /// A thread that does nothing but the system calls.
    Limit,
    /// The same, with a write and a sync per publish.
    LimitDisk,
}

impl Subject {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Limit => "limit",
            Self::LimitDisk => "one sync per publish",
        }
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// What was driven.
    pub(crate) subject: Subject,
    /// What it came to.
    pub(crate) figures: Figures,
    /// From publish to receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivery_latency: Option<Summary>,
    /// From publish to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) publish_latency: Option<Summary>,
    /// What went wrong.
    pub(crate) faults: RunFaults,
    /// The course of the measured time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) course: Vec<Sample>,
}

impl Run {
    /// One without anything in it yet.
    pub(crate) fn of(subject: Subject) -> Self {
        Self {
            subject,
            figures: Figures::default(),
            delivery_latency: None,
            publish_latency: None,
            faults: RunFaults::default(),
            course: Vec::new(),
        }
    }
}

/// What went wrong in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunFaults {
    /// With updates.
    #[serde(flatten)]
    pub(crate) updates: Faults,
    /// Answers that asked to try again later.
    pub(crate) refused: u64,
    /// Publishers' connections that broke with an update under way.
    pub(crate) broken_publishes: u64,
    /// Updates that were due and never sent: the rate was not reached.
    #[serde(default)]
    pub(crate) unsent: u64,
    /// Streams that ended although nobody wanted it.
    pub(crate) ended_streams: u64,
    /// How the first of them did so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_ending: Option<String>,
}

impl RunFaults {
    /// Whether the result is that of a hub that works: what was to be tried again
    /// later, or was not sent in time, is load, not a fault.
    pub(crate) fn none(&self) -> bool {
        self.updates.none() && self.broken_publishes == 0 && self.ended_streams == 0
    }
}

/// One point of a run's course.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Since the measured time began.
    pub(crate) at_seconds: f64,
    /// Since the sample before.
    pub(crate) deliveries_per_second: f64,
    /// Since the sample before.
    pub(crate) publishes_per_second: f64,
    /// Of what was delivered since the sample before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<u64>,
    /// As above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<u64>,
    /// Of one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_percent: Option<f64>,
    /// Resident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rss_bytes: Option<u64>,
}

/// The medians of a subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Medians {
    /// Whose.
    pub(crate) subject: Subject,
    /// Of how many runs.
    pub(crate) runs: usize,
    /// The medians.
    pub(crate) figures: Figures,
}

/// Medians divided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratios {
    /// The hub, by this.
    pub(crate) to: Subject,
    /// The quotients.
    pub(crate) figures: Figures,
}

impl Report {
    /// Sums up runs.
    pub(crate) fn new(
        scenario: &str,
        notes: Vec<String>,
        settings: serde_json::Map<String, serde_json::Value>,
        environment: Environment,
        runs: Vec<Run>,
    ) -> Self {
        let mut medians: Vec<Medians> = Vec::new();
        for subject in [Subject::Hub, Subject::Limit, Subject::LimitDisk] {
            let own: Vec<&Figures> =
                runs.iter().filter(|run| run.subject == subject).map(|run| &run.figures).collect();
            if !own.is_empty() {
                medians.push(Medians { subject, runs: own.len(), figures: Figures::medians(&own) });
            }
        }
        let ratios = match medians.split_first() {
            Some((hub, others)) if hub.subject == Subject::Hub => others
                .iter()
                .map(|other| Ratios { to: other.subject, figures: hub.figures.ratios(&other.figures) })
                .collect(),
            _ => Vec::new(),
        };
        let scenario = scenario.to_owned();
        Self { petasos_bench: VERSION, scenario, notes, settings, environment, runs, medians, ratios }
    }

    /// Whether no run had faults.
    pub(crate) fn is_sound(&self) -> bool {
        self.runs.iter().all(|run| run.faults.none())
    }

    /// Writes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save(&self, path: &Path) -> Result<(), BenchError> {
        let failed = |error| BenchError::File { path: path.to_owned(), verb: "written", error };
        let mut text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        text.push('\n');
        fs::write(path, text).map_err(failed)
    }

    /// Reads one.
    ///
    /// # Errors
    /// The file cannot be read, or is no report of this form.
    pub(crate) fn load(path: &Path) -> Result<Self, BenchError> {
        let failed = |error| BenchError::File { path: PathBuf::from(path), verb: "read", error };
        let text = fs::read_to_string(path).map_err(failed)?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| failed(error.into()))?;
        match value.get("petasos_bench").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {
                serde_json::from_value(value).map_err(|error| failed(error.into()))
            }
            Some(version) => {
                let text =
                    format!("it has version {version} of the form, and this program knows version {VERSION}");
                Err(failed(std::io::Error::other(text)))
            }
            None => Err(failed(std::io::Error::other("it is no report of petasos bench"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(subject: Subject, us: f64) -> Run {
        let mut run = Run::of(subject);
        run.figures.set("cpu_per_delivery_us", us);
        run
    }

    fn report(runs: Vec<Run>) -> Report {
        let settings = serde_json::Map::from_iter([("subscribers".to_owned(), 5.into())]);
        Report::new("fanout", vec!["a note".into()], settings, Environment::here(), runs)
    }

    #[test]
    fn ratios_are_those_of_medians() {
        let runs = [(Subject::Limit, 4.0), (Subject::Hub, 5.0), (Subject::Limit, 5.0), (Subject::Hub, 7.0)];
        let report = report(runs.map(|(subject, us)| run(subject, us)).to_vec());
        assert_eq!(report.medians.len(), 2);
        let [ratios] = report.ratios.as_slice() else { panic!("{:?}", report.ratios) };
        assert_eq!(ratios.figures.get("cpu_per_delivery_us"), Some(6.0 / 4.5));
    }

    #[test]
    fn a_baseline_alone_has_no_ratios() {
        assert!(report(vec![run(Subject::Limit, 4.0)]).ratios.is_empty());
    }

    #[test]
    fn a_report_is_the_same_after_it_was_written_and_read() {
        let mut one = run(Subject::Hub, 4.0);
        one.course.push(Sample { at_seconds: 0.5, p50_us: Some(3), ..Sample::default() });
        one.faults.updates.lost = 3;
        let mut latencies = crate::bench::histogram::Latencies::default();
        latencies.record_ns(5_000_000);
        one.delivery_latency = latencies.summary();
        let report = report(vec![one, run(Subject::LimitDisk, 1.0)]);
        let file = tempfile::NamedTempFile::new().expect("a file");
        report.save(file.path()).expect("written");
        assert_eq!(Report::load(file.path()).expect("read"), report);
        assert!(!report.is_sound());
    }

    #[test]
    fn what_is_no_report_of_this_form_is_told() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (text, problem) in [
            ("{}", "no report of petasos bench"),
            (r#"{"petasos_bench": 99}"#, "version 99"),
            ("x", "expected value"),
        ] {
            fs::write(file.path(), text).expect("written");
            let error = Report::load(file.path()).expect_err(text).to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
