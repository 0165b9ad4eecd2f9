//! The simulation of an automaton: all its states at once, one byte of the text after the other.

use std::cell::RefCell;

use super::{
    Program,
    class::word,
    node::Look,
    program::{State, StateId},
};

/// How many states one match may visit, about a millisecond of work. Where it ends, the text does not match (M04). An
/// ordinary pattern visits a handful per byte and could match topics of 20 KiB.
pub(super) const MAX_STEPS: usize = 200_000;

/// Memory of a run, kept by its thread: at most a few times the states of the largest program.
#[derive(Default)]
struct Scratch {
    /// States that wait for the next byte.
    current: Vec<StateId>,
    following: Vec<StateId>,
    /// In which round each state was last visited.
    visited: Vec<u32>,
    stack: Vec<StateId>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Program {
    /// Whether the whole of `text` matches.
    pub(in crate::topic) fn is_match(&self, text: &str) -> bool {
        self.run(text.as_bytes(), MAX_STEPS).unwrap_or(false)
    }

    /// `None` where `max_steps` were not enough to know.
    pub(super) fn run(&self, text: &[u8], max_steps: usize) -> Option<bool> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.visited.clear();
            scratch.visited.resize(self.states.len(), 0);
            scratch.current.clear();
            let mut run = Run { program: self, text, steps_left: max_steps };
            let mut matched = run.follow(self.start, 0, scratch)?;
            std::mem::swap(&mut scratch.current, &mut scratch.following);
            for (at, &byte) in text.iter().enumerate() {
                if scratch.current.is_empty() {
                    return Some(false);
                }
                matched = false;
                for index in 0..scratch.current.len() {
                    let next = match self.states[usize::from(scratch.current[index])] {
                        State::Byte(wanted, next) if wanted == byte => next,
                        State::Set(set, next) if self.sets[usize::from(set)].contains(byte) => next,
                        _ => continue,
                    };
                    matched |= run.follow(next, at + 1, scratch)?;
                }
                scratch.current.clear();
                std::mem::swap(&mut scratch.current, &mut scratch.following);
            }
            Some(matched)
        })
    }
}

struct Run<'p> {
    program: &'p Program,
    text: &'p [u8],
    steps_left: usize,
}

impl Run<'_> {
    /// Adds to `scratch.following` every state that waits for a byte and can be reached from `from` without one.
    /// Whether the end of the program is among what was reached.
    fn follow(&mut self, from: StateId, at: usize, scratch: &mut Scratch) -> Option<bool> {
        // Rounds begin at one; a text longer than this could count is refused by every limit on topics.
        let round = u32::try_from(at).ok()?.checked_add(1)?;
        let mut matched = false;
        scratch.stack.push(from);
        while let Some(id) = scratch.stack.pop() {
            let visited = &mut scratch.visited[usize::from(id)];
            if *visited == round {
                continue;
            }
            *visited = round;
            let Some(steps_left) = self.steps_left.checked_sub(1) else {
                scratch.stack.clear();
                scratch.following.clear();
                return None;
            };
            self.steps_left = steps_left;
            match self.program.states[usize::from(id)] {
                State::Byte(..) | State::Set(..) => scratch.following.push(id),
                State::Split(first, second) => scratch.stack.extend([second, first]),
                State::Look(look, next) => {
                    if self.holds(look, at) {
                        scratch.stack.push(next);
                    }
                }
                State::Match => matched = true,
            }
        }
        Some(matched)
    }

    fn holds(&self, look: Look, at: usize) -> bool {
        let is_word = |index: Option<usize>| {
            index.and_then(|index| self.text.get(index)).is_some_and(|&byte| word().contains(byte))
        };
        let at_boundary = || is_word(at.checked_sub(1)) != is_word(Some(at));
        match look {
            Look::Start => at == 0,
            Look::End => at == self.text.len(),
            Look::WordBoundary => at_boundary(),
            Look::NotWordBoundary => !at_boundary(),
        }
    }
}
