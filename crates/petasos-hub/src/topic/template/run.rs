//! A topic on its way through the pieces of a template.
//!
//! After each piece there is a set of places in the topic that can be reached. A piece makes the next set from the last
//! one, from left to right and looking at each place once, by steps of one unit (a byte, or a percent-encoded one); steps
//! are counted.

use std::sync::LazyLock;

use super::{
    super::regex::ByteSet, Empty, Expression, Modifier, Operator, Piece, Variable, ascii_tail,
    parse::is_triplet, places::Places,
};

/// How many units one match may look at, about a millisecond of work. Where it ends, the topic does not match (M04). A
/// usual template looks at each unit of a topic once or twice.
const MAX_STEPS: usize = 200_000;

/// How much text is compared for the price of one step.
const BYTES_PER_STEP: usize = 16;

/// How much of a set of places is made or looked through for the price of one step, in words.
const WORDS_PER_STEP: usize = 16;

/// Bytes behind the first one of a character in UTF-8, at most.
const MAX_CONTINUATIONS: usize = 3;

/// The budget is used up.
struct Exhausted;

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
    Run::new(topic, MAX_STEPS).matches(pieces).unwrap_or(false)
}

/// What a match would look at if there were no bound.
#[cfg(test)]
pub(super) fn steps(pieces: &[Piece], topic: &str) -> usize {
    let mut run = Run::new(topic, usize::MAX);
    let _ = run.matches(pieces);
    usize::MAX - run.steps_left
}

struct Run<'t> {
    topic: &'t [u8],
    steps_left: usize,
    /// How many more characters a counted run may take from each place; empty until there is one, and all zero after it.
    more: Vec<u16>,
}

impl<'t> Run<'t> {
    fn new(topic: &'t str, max_steps: usize) -> Self {
        Self { topic: topic.as_bytes(), steps_left: max_steps, more: Vec::new() }
    }

    fn matches(&mut self, pieces: &[Piece]) -> Result<bool, Exhausted> {
        if let Some(Piece::Literal(text)) = pieces.last()
            && !self.topic.ends_with(ascii_tail(text).as_bytes())
        {
            return Ok(false);
        }
        let mut places = self.none()?;
        places.insert(0);
        for piece in pieces {
            places = match piece {
                Piece::Literal(text) => self.text(&places, text)?,
                Piece::Expression(expression) => self.expression(expression, &places)?,
            };
            if places.is_empty() {
                return Ok(false);
            }
        }
        Ok(places.contains(self.topic.len()))
    }

    fn spend(&mut self, steps: usize) -> Result<(), Exhausted> {
        self.steps_left = self.steps_left.checked_sub(steps).ok_or(Exhausted)?;
        Ok(())
    }

    /// An empty set.
    fn none(&mut self) -> Result<Places, Exhausted> {
        self.spend(1 + Places::words(self.topic.len()) / WORDS_PER_STEP)?;
        Ok(Places::none(self.topic.len()))
    }

    fn copy(&mut self, places: &Places) -> Result<Places, Exhausted> {
        self.spend(1 + Places::words(self.topic.len()) / WORDS_PER_STEP)?;
        Ok(places.clone())
    }

    /// Behind this text.
    fn text(&mut self, from: &Places, text: &str) -> Result<Places, Exhausted> {
        if text.is_empty() {
            return self.copy(from);
        }
        let mut behind = self.none()?;
        let is_ascii = text.is_ascii();
        for place in from.iter() {
            let end = if is_ascii {
                self.spend(1 + text.len() / BYTES_PER_STEP)?;
                self.topic[place..].starts_with(text.as_bytes()).then(|| place + text.len())
            } else {
                self.beyond_ascii(place, text)?
            };
            if let Some(end) = end {
                behind.insert(end);
            }
        }
        Ok(behind)
    }

    /// Behind this text at `place`. A character beyond ASCII stands there as it is, which is how topics are published, or
    /// percent-encoded, which is how a template is expanded.
    fn beyond_ascii(&mut self, place: usize, text: &str) -> Result<Option<usize>, Exhausted> {
        let mut at = place;
        for character in text.chars() {
            self.spend(1)?;
            let mut buffer = [0; 4];
            let bytes = character.encode_utf8(&mut buffer).as_bytes();
            let rest = &self.topic[at..];
            at += if rest.starts_with(bytes) {
                bytes.len()
            } else if !character.is_ascii() && starts_with_encoded(rest, bytes) {
                3 * bytes.len()
            } else {
                return Ok(None);
            };
        }
        Ok(Some(at))
    }

    /// Any of the variables may be undefined and leave nothing, not even a separator.
    fn expression(&mut self, expression: &Expression, from: &Places) -> Result<Places, Exhausted> {
        let operator = expression.operator;
        let set = class(operator.reserved);
        // Behind at least one value; `from` is where there was none yet.
        let mut behind = self.none()?;
        for variable in &expression.variables {
            let mut starts = self.text(from, operator.first)?;
            starts.unite(&self.text(&behind, operator.separator)?);
            behind.unite(&self.variable(variable, operator, set, &starts)?);
        }
        behind.unite(from);
        Ok(behind)
    }

    fn variable(
        &mut self,
        variable: &Variable,
        operator: &Operator,
        set: ByteSet,
        from: &Places,
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
        from: &Places,
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
                behind.unite(&bare);
                Ok(behind)
            }
        }
    }

    /// Any number of values, or of pairs of keys and values. Which keys there are nobody knows: it is the variable that
    /// brings them along.
    fn exploded(&mut self, from: &Places, operator: &Operator, set: ByteSet) -> Result<Places, Exhausted> {
        // Where a value or a key may begin; behind some of it; behind the `=` after a key; behind some of what follows.
        const START: u8 = 1;
        const KEY: u8 = 2;
        const EQUALS: u8 = 4;
        const VALUE: u8 = 8;
        let mut behind = self.none()?;
        let mut active = self.copy(from)?;
        self.spend(self.topic.len() / (BYTES_PER_STEP * WORDS_PER_STEP))?;
        let mut states = vec![0; self.topic.len() + 1];
        let mut next_place = active.first_from(0);
        while let Some(place) = next_place {
            let state = states[place] | if from.contains(place) { START } else { 0 };
            let mut reach = |place: usize, state: u8| {
                states[place] |= state;
                active.insert(place);
            };
            if let Some(next) = self.character(place, set, false)? {
                let key = if state & (START | KEY) != 0 { KEY } else { 0 };
                let value = if state & (EQUALS | VALUE) != 0 { VALUE } else { 0 };
                reach(next, key | value);
            }
            // Keys of named pairs are never empty; where an empty value has no `=` either, nothing is empty behind one.
            let key_ends = state & KEY != 0 || state & START != 0 && operator.named.is_none();
            let value_ends = state & VALUE != 0 || state & EQUALS != 0 && operator.named != Some(Empty::Bare);
            let rest = &self.topic[place..];
            if key_ends && rest.first() == Some(&b'=') {
                reach(place + 1, EQUALS);
            }
            if value_ends || key_ends && operator.named != Some(Empty::WithEquals) {
                behind.insert(place);
                if rest.starts_with(operator.separator.as_bytes()) {
                    reach(place + operator.separator.len(), START);
                }
            }
            next_place = active.first_from(place + 1);
        }
        Ok(behind)
    }

    /// Behind at least `least` and at most `most` characters, each of the set or percent-encoded. `least` is 0 or 1.
    fn run(
        &mut self,
        from: &Places,
        set: ByteSet,
        least: usize,
        most: Option<u16>,
    ) -> Result<Places, Exhausted> {
        // What is reached already, and with `least` zero that is all: the places behind no character are those of `from`.
        let mut active = self.copy(from)?;
        let mut behind_one = if least == 0 { None } else { Some(self.none()?) };
        if most.is_some() {
            self.more.resize(self.topic.len() + 1, 0);
        }
        let mut next_place = active.first_from(0);
        while let Some(place) = next_place {
            let more = most.map(|most| {
                let left_over = std::mem::take(&mut self.more[place]);
                if from.contains(place) { most } else { left_over }
            });
            if more != Some(0)
                && let Some(next) = self.character(place, set, most.is_some())?
            {
                active.insert(next);
                if let Some(behind) = &mut behind_one {
                    behind.insert(next);
                }
                // Of several ways to a place, the one that may go on for longest goes wherever the others would.
                if let Some(more) = more {
                    self.more[next] = self.more[next].max(more - 1);
                }
            }
            next_place = active.first_from(place + 1);
        }
        Ok(behind_one.unwrap_or(active))
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
        if whole {
            let is_next = |count: &usize| is_continuation(&self.topic[place + 3 * count..]);
            next += 3 * (1..=MAX_CONTINUATIONS).take_while(is_next).count();
        }
        Ok(Some(next))
    }
}

fn is_continuation(text: &[u8]) -> bool {
    is_triplet(text) && matches!(text[1], b'8' | b'9' | b'a' | b'A' | b'b' | b'B')
}

/// Whether `text` begins with these bytes, each percent-encoded as RFC 6570 wants it, with capital letters.
fn starts_with_encoded(text: &[u8], bytes: &[u8]) -> bool {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let (triplets, _) = text.as_chunks::<3>();
    triplets.len() >= bytes.len()
        && bytes.iter().zip(triplets).all(|(byte, triplet)| {
            *triplet == [b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
        })
}
