//! Messages to the person at the terminal.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Writes a line to standard error. Where that is closed nobody is left to be told, so failures are passed over.
pub(crate) fn say(text: impl Display) {
    say_to(&mut io::stderr(), text);
}

/// The same to somewhere else.
pub(crate) fn say_to(output: &mut impl Write, text: impl Display) {
    let _ = writeln!(output, "petasos: {text}");
}
