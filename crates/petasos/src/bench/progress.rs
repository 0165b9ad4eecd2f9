//! What the user sees while a bench runs: one line that changes on a terminal, a line now and then elsewhere, nothing
//! with `--quiet`.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::client::console::say;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Steps of the bar on a terminal.
const PARTS: u64 = 1000;

/// The display.
#[derive(Debug)]
pub(crate) struct Progress {
    output: Output,
    title: String,
    last_line: Option<Instant>,
}

#[derive(Debug)]
enum Output {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Progress {
    /// On standard error.
    pub(crate) fn new(quiet: bool) -> Self {
        let output = if quiet {
            Output::Nothing
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_length(PARTS);
            bar.set_style(
                ProgressStyle::with_template("{spinner} {bar:20} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            Output::Bar(bar)
        } else {
            Output::Lines
        };
        Self { output, title: String::new(), last_line: None }
    }

    /// Something else begins.
    pub(crate) fn begin(&mut self, title: impl Into<String>) {
        self.title = title.into();
        if let Output::Bar(bar) = &self.output {
            bar.set_position(0);
        }
        self.last_line = None;
        self.show("");
    }

    /// How far it is, as a fraction of the whole, and in words.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Of a bar.
    pub(crate) fn show_part(&mut self, fraction: f64, text: &str) {
        if let Output::Bar(bar) = &self.output {
            bar.set_position((fraction.clamp(0.0, 1.0) * PARTS as f64) as u64);
        }
        self.show(text);
    }

    /// How far it is, in words.
    pub(crate) fn show(&mut self, text: &str) {
        let line = if text.is_empty() { self.title.clone() } else { format!("{}: {text}", self.title) };
        match &self.output {
            Output::Bar(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            Output::Lines => {
                if self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
                    say(line);
                    self.last_line = Some(Instant::now());
                }
            }
            Output::Nothing => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Output::Bar(bar) = &self.output {
            bar.finish_and_clear();
        }
    }
}
