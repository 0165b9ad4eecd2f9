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
            bar.set_style(
                ProgressStyle::with_template("{spinner} {wide_msg}")
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
        self.last_line = None;
        self.show("");
    }

    /// How far it is.
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
