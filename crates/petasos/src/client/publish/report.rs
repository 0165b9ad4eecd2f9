//! What the person at the terminal is told about a publish: ids on standard output, the rest on standard error.

use std::{
    fmt::Display,
    io::{self, Write},
    time::Duration,
};

use super::{lines::BadLine, pipeline::End};
use crate::client::{answer::Refused, console::say_to, exit::Exit};

/// Who is told what happens, as it happens.
pub trait Observer {
    /// An update was stored under this id. Comes in the order of the lines.
    fn stored(&mut self, line: u64, id: &str);
    /// An update was refused by the hub. Comes in the order of the lines.
    fn refused(&mut self, line: u64, why: &Refused);
    /// A line cannot be published and was not sent.
    fn unfit(&mut self, line: u64, why: BadLine);
    /// Something that the operator may want to know, one sentence.
    fn note(&mut self, text: &str);
    /// Nothing more comes for the moment.
    fn pause(&mut self);
}

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Updates with an id.
    pub stored: u64,
    /// Updates that were refused, by the hub or before.
    pub refused: u64,
    /// Of the refused ones, those that the token does not grant.
    pub forbidden: u64,
    /// Sent again after a lost answer, so perhaps stored twice.
    pub sent_again: u64,
    /// Stored behind a later line, because the server did not keep the order.
    pub overtaken: u64,
    /// The first and the last line that were read and have no answer.
    pub unacknowledged: Option<(u64, u64)>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Summary {
    /// Why it ended.
    pub end: End,
    /// The figures.
    pub tally: Tally,
    /// How long it took.
    pub took: Duration,
}

impl Summary {
    /// What scripts are told.
    pub fn exit(&self) -> Exit {
        match &self.end {
            End::NotAuthorized(_) => Exit::NotAuthorized,
            End::NoHub(_) | End::GaveUp(_) | End::Input(_) => Exit::Failed,
            End::Finished | End::Interrupted => {
                let tally = &self.tally;
                if tally.refused == 0 && tally.overtaken == 0 && tally.unacknowledged.is_none() {
                    Exit::Done
                } else if tally.stored == 0 && tally.refused > 0 && tally.forbidden == tally.refused {
                    Exit::NotAuthorized
                } else {
                    Exit::Failed
                }
            }
        }
    }

    /// Why it ended, where that is not simply the end of the input.
    pub fn failure(&self) -> Option<String> {
        match &self.end {
            End::Finished => None,
            End::Interrupted => self.tally.unacknowledged.map(|_| "interrupted".into()),
            End::NotAuthorized(why) => Some(format!("not authorized: {why}")),
            End::NoHub(why) => Some(format!("this URL does not answer as a hub: {why}")),
            End::GaveUp(why) => Some(why.clone()),
            End::Input(error) => Some(format!("the input cannot be read: {error}")),
        }
    }
}

impl Display for Summary {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { stored, refused, sent_again, overtaken, unacknowledged, .. } = &self.tally;
        let seconds = self.took.as_secs_f64();
        let lines = stored + refused;
        write!(out, "{lines} lines, {stored} published, {refused} refused")?;
        if *sent_again > 0 {
            write!(out, ", {sent_again} sent again and perhaps stored twice")?;
        }
        if *overtaken > 0 {
            write!(out, ", {overtaken} out of order")?;
        }
        if let Some((first, last)) = unacknowledged {
            write!(out, ", lines {first} to {last} not acknowledged")?;
        }
        // Below a millisecond a rate says nothing.
        let rate = lines as f64 / seconds.max(0.001);
        write!(out, ", {seconds:.1} s, {rate:.0} lines/s")
    }
}

/// Writes to two streams, which are standard output and standard error outside tests.
#[derive(Debug)]
pub struct Console<O: Write, E> {
    /// Gets the ids. `None` once it has been closed: whoever reads the ids may stop, the updates go on.
    ids: Option<io::BufWriter<O>>,
    messages: E,
    /// Lines are counted and their refusals name them.
    lines: bool,
}

impl<O: Write, E: Write> Console<O, E> {
    /// With `lines`, messages name the line that they are about.
    pub fn new(ids: O, messages: E, lines: bool) -> Self {
        Self { ids: Some(io::BufWriter::new(ids)), messages, lines }
    }

    fn say(&mut self, text: impl Display) {
        say_to(&mut self.messages, text);
    }
}

impl<O: Write, E: Write> Observer for Console<O, E> {
    fn stored(&mut self, _line: u64, id: &str) {
        if let Some(ids) = &mut self.ids
            && writeln!(ids, "{id}").is_err()
        {
            self.ids = None;
        }
    }

    fn refused(&mut self, line: u64, why: &Refused) {
        if self.lines {
            self.say(format_args!("line {line} refused: {why}"));
        } else {
            self.say(format_args!("refused: {why}"));
        }
    }

    fn unfit(&mut self, line: u64, why: BadLine) {
        self.say(format_args!("line {line} refused: {why}"));
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }

    fn pause(&mut self) {
        if let Some(ids) = &mut self.ids
            && ids.flush().is_err()
        {
            self.ids = None;
        }
    }
}
