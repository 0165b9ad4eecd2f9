//! A topic on its way through the pieces of a template.
//!
//! After each piece there is a set of places in the topic that can be reached. A piece makes the next set from the last
//! one, by steps of one unit (a byte, or a percent-encoded one); steps are counted.

use std::sync::LazyLock;

use super::{
    super::regex::ByteSet, Empty, Expression, Modifier, Operator, Piece, Variable, parse::is_triplet,
};

/// How many units one match may look at, about a millisecond of work. Where it ends, the topic does not match (M04). A
/// usual template looks at each unit of a topic once or twice.
pub(super) const MAX_STEPS: usize = 200_000;

/// How much text is compared for the price of one step.
const BYTES_PER_STEP: usize = 16;

/// The budget is used up.
struct Exhausted;

/// Places in a topic, ascending.
type Places = Vec<usize>;

static UNRESERVED: LazyLock<ByteSet> = LazyLock::new(|| {
    let bytes = (b'0'..=b'9').chain(b'A'..=b'Z').chain(b'a'..=b'z').chain(*b"-._~");
    bytes.fold(ByteSet::NONE, |set, byte| set | ByteSet::of(byte.into()))
});

static UNRESERVED_AND_RESERVED: LazyLock<ByteSet> = LazyLock::new(|| {
    b":/?#[]@!$&'()*+,;=".iter().fold(*UNRESERVED, |set, byte| set | ByteSet::of((*byte).into()))
});

/// The characters that an expression leaves as they are: unreserved ones, and reserved ones where it says so.
pub(super) fn class(reserved: bool) -> ByteSet {
    if reserved { *UNRESERVED_AND_RESERVED } else { *UNRESERVED }
}

/// Whether the whole of `topic` is an expansion.
pub(super) fn matches(pieces: &[Piece], topic: &str) -> bool {
    let topic = topic.as_bytes();
    if let Some(Piece::Literal(suffix)) = pieces.last()
        && !topic.ends_with(suffix.as_bytes())
    {
        return false;
    }
    let mut run = Run { topic, steps_left: MAX_STEPS };
    let mut places = vec![0];
    for piece in pieces {
        let next = match piece {
            Piece::Literal(text) => run.text(&places, text),
            Piece::Either(text, encoded) => run.text(&places, text).and_then(|mut next| {
                next.extend(run.text(&places, encoded)?);
                Ok(next)
            }),
            Piece::Expression(expression) => run.expression(expression, places),
        };
        match next {
            Ok(next) if !next.is_empty() => places = sorted(next),
            Ok(_) | Err(Exhausted) => return false,
        }
    }
    places.last() == Some(&topic.len())
}

fn sorted(mut places: Places) -> Places {
    places.sort_unstable();
    places.dedup();
    places
}

struct Run<'t> {
    topic: &'t [u8],
    steps_left: usize,
}

impl Run<'_> {
    fn spend(&mut self, steps: usize) -> Result<(), Exhausted> {
        self.steps_left = self.steps_left.checked_sub(steps).ok_or(Exhausted)?;
        Ok(())
    }

    /// Behind this text.
    fn text(&mut self, from: &[usize], text: &str) -> Result<Places, Exhausted> {
        self.spend(from.len() * (1 + text.len() / BYTES_PER_STEP))?;
        let stands_at = |place: &&usize| self.topic[**place..].starts_with(text.as_bytes());
        Ok(from.iter().filter(stands_at).map(|place| place + text.len()).collect())
    }

    /// Any of the variables may be undefined and leave nothing, not even a separator.
    fn expression(&mut self, expression: &Expression, from: Places) -> Result<Places, Exhausted> {
        let operator = expression.operator;
        let set = class(operator.reserved);
        // Behind at least one value; `from` is where there was none yet.
        let mut behind = Places::new();
        for variable in &expression.variables {
            let mut starts = self.text(&from, operator.first)?;
            starts.extend(self.text(&behind, operator.separator)?);
            let starts = sorted(starts);
            behind.extend(self.variable(variable, operator, set, &starts)?);
            behind = sorted(behind);
        }
        behind.extend(from);
        Ok(behind)
    }

    fn variable(
        &mut self,
        variable: &Variable,
        operator: Operator,
        set: ByteSet,
        from: &[usize],
    ) -> Result<Places, Exhausted> {
        // A list without `*` is joined by commas.
        let list = set | ByteSet::of(b','.into());
        match (operator.named, variable.modifier) {
            (None, Modifier::None) => self.run(from, list, 0, None),
            (None, Modifier::Prefix(most)) => self.run(from, set, 0, Some(most)),
            (Some(empty), Modifier::None) => self.named(from, &variable.name, empty, list, None),
            (Some(empty), Modifier::Prefix(most)) => self.named(from, &variable.name, empty, set, Some(most)),
            (_, Modifier::Explode) => self.exploded(from, operator, set),
        }
    }

    /// `name=value`, or what an empty value leaves of it.
    fn named(
        &mut self,
        from: &[usize],
        name: &str,
        empty: Empty,
        set: ByteSet,
        most: Option<u16>,
    ) -> Result<Places, Exhausted> {
        let bare = self.text(from, name)?;
        let equals = self.text(&bare, "=")?;
        match empty {
            Empty::WithEquals => self.run(&equals, set, 0, most),
            Empty::Bare => {
                let mut behind = self.run(&equals, set, 1, most)?;
                behind.extend(bare);
                Ok(behind)
            }
        }
    }

    /// Any number of values, or of pairs of keys and values. Which keys there are nobody knows: it is the variable that
    /// brings them along.
    fn exploded(&mut self, from: &[usize], operator: Operator, set: ByteSet) -> Result<Places, Exhausted> {
        let mut behind = Places::new();
        let mut seen = vec![false; self.topic.len() + 1];
        let mut starts = from.to_vec();
        while !starts.is_empty() {
            let mut ends = match operator.named {
                None => self.run(&starts, set, 0, None)?,
                Some(_) => self.run(&starts, set, 1, None)?,
            };
            let equals = self.text(&ends, "=")?;
            let with_value =
                self.run(&equals, set, usize::from(operator.named == Some(Empty::Bare)), None)?;
            if operator.named == Some(Empty::WithEquals) {
                ends.clear();
            }
            ends.extend(with_value);
            let ends = sorted(ends);
            starts = self.text(&ends, operator.separator)?;
            starts.retain(|place| !std::mem::replace(&mut seen[*place], true));
            behind.extend(ends);
        }
        Ok(sorted(behind))
    }

    /// Behind at least `least` and at most `most` characters, each of the set or percent-encoded. `least` is 0 or 1.
    fn run(
        &mut self,
        from: &[usize],
        set: ByteSet,
        least: usize,
        most: Option<u16>,
    ) -> Result<Places, Exhausted> {
        let mut behind = Places::new();
        let mut reached = None;
        for &start in from {
            // Without a bound, a run that begins within an earlier one goes where that one has gone.
            if most.is_none() && reached.is_some_and(|reached| start <= reached) {
                continue;
            }
            let (mut place, mut count) = (start, 0);
            if least == 0 {
                behind.push(place);
            }
            while most.is_none_or(|most| count < usize::from(most)) {
                let Some(next) = self.character(place, set, most.is_some())? else { break };
                (place, count) = (next, count + 1);
                behind.push(place);
            }
            reached = Some(place);
        }
        Ok(sorted(behind))
    }

    /// Behind the character at `place`. Whole ones are wanted where characters are counted: one beyond ASCII is several
    /// percent-encoded bytes, the first of which is no continuation.
    fn character(&mut self, place: usize, set: ByteSet, whole: bool) -> Result<Option<usize>, Exhausted> {
        self.spend(1)?;
        let rest = &self.topic[place..];
        if !is_triplet(rest) {
            return Ok(rest.first().is_some_and(|byte| set.contains(*byte)).then_some(place + 1));
        }
        let mut next = place + 3;
        while whole && is_continuation(&self.topic[next..]) {
            self.spend(1)?;
            next += 3;
        }
        Ok(Some(next))
    }
}

fn is_continuation(text: &[u8]) -> bool {
    is_triplet(text) && matches!(text[1], b'8' | b'9' | b'a' | b'A' | b'b' | b'B')
}
