//! From the tree of a regular expression to a nondeterministic automaton (Thompson's construction).

use super::{
    ByteSet, RegexError,
    node::{Look, Node},
};

/// A place in the program.
pub(super) type StateId = u16;

/// One step of the automaton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Takes this byte.
    Byte(u8, StateId),
    /// Takes a byte of the set with this index.
    Set(u16, StateId),
    /// Goes both ways.
    Split(StateId, StateId),
    /// Goes on if the condition holds.
    Look(Look, StateId),
    /// The whole text matches, if this is reached at its end.
    Match,
}

/// How much the programs of one pattern may take together.
#[derive(Debug)]
pub(in crate::topic) struct Budget {
    states: usize,
}

impl Budget {
    /// `states` states; what is left of them at the end of one program is there for the next.
    pub(in crate::topic) fn new(states: usize) -> Self {
        Self { states: states.min(StateId::MAX.into()) }
    }

    fn take(&mut self) -> Result<(), RegexError> {
        self.states = self.states.checked_sub(1).ok_or(RegexError::TooComplex)?;
        Ok(())
    }
}

/// A compiled regular expression. It matches whole texts, as the expressions of URL patterns do.
#[derive(Clone, Debug)]
pub(in crate::topic) struct Program {
    pub(super) states: Box<[State]>,
    pub(super) sets: Box<[ByteSet]>,
    pub(super) start: StateId,
}

impl Program {
    /// Compiles `node`.
    ///
    /// # Errors
    /// [`RegexError::TooComplex`] when `budget` is used up.
    pub(in crate::topic) fn compile(node: &Node, budget: &mut Budget) -> Result<Self, RegexError> {
        let mut compiler = Compiler { states: Vec::new(), sets: Vec::new(), budget };
        let end = compiler.add(State::Match)?;
        let start = compiler.node(node, end)?;
        Ok(Self { states: compiler.states.into(), sets: compiler.sets.into(), start })
    }

    /// What it occupies on the heap, in bytes.
    pub(in crate::topic) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.states) + size_of_val(&*self.sets)
    }
}

/// Builds from the end backwards: each construct is given where to go on, so that nothing is patched but loops.
struct Compiler<'b> {
    states: Vec<State>,
    sets: Vec<ByteSet>,
    budget: &'b mut Budget,
}

impl Compiler<'_> {
    fn add(&mut self, state: State) -> Result<StateId, RegexError> {
        self.budget.take()?;
        let id = StateId::try_from(self.states.len()).map_err(|_| RegexError::TooComplex)?;
        self.states.push(state);
        Ok(id)
    }

    /// Adds `node` in front of `next` and returns where it begins.
    fn node(&mut self, node: &Node, next: StateId) -> Result<StateId, RegexError> {
        match node {
            Node::Bytes(set) => match set.single() {
                Some(byte) => self.add(State::Byte(byte, next)),
                None => {
                    let set = self.set(*set);
                    self.add(State::Set(set, next))
                }
            },
            Node::Look(look) => self.add(State::Look(*look, next)),
            Node::Concat(nodes) => nodes.iter().rev().try_fold(next, |next, node| self.node(node, next)),
            Node::Alternate(nodes) => {
                let mut nodes = nodes.iter().rev();
                let mut start = match nodes.next() {
                    Some(last) => self.node(last, next)?,
                    None => next,
                };
                for node in nodes {
                    let first = self.node(node, next)?;
                    start = self.add(State::Split(first, start))?;
                }
                Ok(start)
            }
            Node::Repeat { node, min, max } => self.repeat(node, *min, *max, next),
        }
    }

    fn repeat(
        &mut self,
        node: &Node,
        min: u32,
        max: Option<u32>,
        next: StateId,
    ) -> Result<StateId, RegexError> {
        // What takes no byte does not change by being repeated, and unrolling it might add no state and so never end.
        let takes_bytes = node.alphabet() != ByteSet::NONE;
        let (min, max) = if takes_bytes { (min, max) } else { (min.min(1), Some(1)) };
        let mut start = match max {
            None => {
                let again = self.add(State::Match)?;
                let body = self.node(node, again)?;
                self.states[usize::from(again)] = State::Split(body, next);
                again
            }
            Some(max) => {
                // (x(x(x)?)?)?: every optional copy leads either into the next one or straight to the end.
                let mut start = next;
                for _ in min..max {
                    let body = self.node(node, start)?;
                    start = self.add(State::Split(body, next))?;
                }
                start
            }
        };
        for _ in 0..min {
            start = self.node(node, start)?;
        }
        Ok(start)
    }

    fn set(&mut self, set: ByteSet) -> u16 {
        let index = self.sets.iter().position(|known| *known == set).unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        });
        // There are never more sets than states.
        index as u16
    }
}
