//! What the micro-benchmarks need beside the public interface: a benchmark is a program of its own and sees nothing
//! else. No part of the interface; it changes without notice.

use crate::http::form;

/// Reads a form as a publish does, and returns how many bytes its values have; `None` where it is none.
pub fn form_bytes(input: &[u8], max_pairs: usize) -> Option<usize> {
    form::parse(input, max_pairs).map(|pair| Some(pair.ok()?.into_text().ok()?.len())).sum()
}
