//! From the text of a regular expression to its tree: the grammar of ECMAScript's `v` mode, as far as an automaton can
//! carry it out.
//!
//! Two liberties, which change the meaning of nothing that is well-formed: inside a class, `/ ( ) { } |` and a hyphen
//! at an edge may stand unescaped, as they may in the older `u` mode that authors are used to (`[^/]+`, `[\w-]+`).

use super::{
    ByteSet, RegexError,
    node::{Look, Node},
};

/// How deep groups may nest. Parsing and compiling recurse, and a stack cannot be caught.
const MAX_DEPTH: u32 = 50;

/// Counts in quantifiers stop here; far beyond what [`super::Program`] takes.
const MAX_COUNT: u32 = 1 << 20;

/// Parses `text`.
///
/// # Errors
/// [`RegexError::Malformed`] for what JavaScript refuses, [`RegexError::TooComplex`] for what it accepts and this
/// does not.
pub(in crate::topic) fn parse(text: &str) -> Result<Node, RegexError> {
    let mut parser = Parser {
        text: text.as_bytes(),
        at: 0,
        depth: 0,
        ignore_case: false,
        captures: 0,
        names: Vec::new(),
        highest_reference: 0,
        named_references: Vec::new(),
        beyond_automata: false,
    };
    if !text.is_ascii() {
        return Err(RegexError::Malformed);
    }
    let node = parser.disjunction()?;
    if parser.at < parser.text.len() {
        return Err(RegexError::Malformed);
    }
    if parser.highest_reference > parser.captures
        || parser.named_references.iter().any(|name| !parser.names.contains(name))
    {
        return Err(RegexError::Malformed);
    }
    let references = parser.highest_reference > 0 || !parser.named_references.is_empty();
    if parser.beyond_automata || references {
        return Err(RegexError::TooComplex);
    }
    Ok(node)
}

pub(super) struct Parser<'t> {
    text: &'t [u8],
    at: usize,
    depth: u32,
    ignore_case: bool,
    captures: u32,
    names: Vec<&'t [u8]>,
    highest_reference: u32,
    named_references: Vec<&'t [u8]>,
    /// Something well-formed was met that needs more than an automaton. Parsing goes on, to find syntax errors.
    beyond_automata: bool,
}

/// What a term is, before its quantifier.
enum Atom {
    Quantifiable(Node),
    Assertion(Node),
}

impl<'t> Parser<'t> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn peek_second(&self) -> Option<u8> {
        self.text.get(self.at + 1).copied()
    }

    pub(super) fn next(&mut self) -> Result<u8, RegexError> {
        let byte = self.peek().ok_or(RegexError::Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    /// Steps over `token` if it comes next.
    pub(super) fn eat(&mut self, token: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    pub(super) fn expect(&mut self, token: &[u8]) -> Result<(), RegexError> {
        if self.eat(token) { Ok(()) } else { Err(RegexError::Malformed) }
    }

    pub(super) fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'t [u8] {
        let start = self.at;
        while self.peek().is_some_and(&accept) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    pub(super) fn enter(&mut self) -> Result<(), RegexError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(RegexError::TooComplex) } else { Ok(()) }
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    pub(super) fn mark_beyond_automata(&mut self) {
        self.beyond_automata = true;
    }

    /// Applies the `i` modifier, where it is on.
    pub(super) fn fold(&self, set: ByteSet) -> ByteSet {
        if self.ignore_case { set.fold_case() } else { set }
    }

    fn disjunction(&mut self) -> Result<Node, RegexError> {
        self.enter()?;
        let mut alternatives = vec![self.alternative()?];
        while self.eat(b"|") {
            alternatives.push(self.alternative()?);
        }
        self.leave();
        Ok(match alternatives.len() {
            1 => alternatives.remove(0),
            _ => Node::Alternate(alternatives),
        })
    }

    fn alternative(&mut self) -> Result<Node, RegexError> {
        let mut terms = Vec::new();
        while !matches!(self.peek(), None | Some(b'|' | b')')) {
            let term = match self.atom()? {
                Atom::Quantifiable(node) => self.quantified(node)?,
                Atom::Assertion(node) => node,
            };
            if !is_empty(&term) {
                terms.push(term);
            }
        }
        Ok(match terms.len() {
            1 => terms.remove(0),
            _ => Node::Concat(terms),
        })
    }

    fn quantified(&mut self, node: Node) -> Result<Node, RegexError> {
        let (min, max) = if self.eat(b"*") {
            (0, None)
        } else if self.eat(b"+") {
            (1, None)
        } else if self.eat(b"?") {
            (0, Some(1))
        } else if self.eat(b"{") {
            self.counts()?
        } else {
            return Ok(node);
        };
        self.eat(b"?");
        Ok(if max == Some(0) || is_empty(&node) {
            Node::Concat(Vec::new())
        } else {
            Node::Repeat { node: Box::new(node), min, max }
        })
    }

    /// `n}`, `n,}` or `n,m}`.
    fn counts(&mut self) -> Result<(u32, Option<u32>), RegexError> {
        let min = self.count()?;
        if self.eat(b"}") {
            return Ok((min, Some(min)));
        }
        self.expect(b",")?;
        if self.eat(b"}") {
            return Ok((min, None));
        }
        let max = self.count()?;
        self.expect(b"}")?;
        if max < min { Err(RegexError::Malformed) } else { Ok((min, Some(max))) }
    }

    fn count(&mut self) -> Result<u32, RegexError> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() { Err(RegexError::Malformed) } else { Ok(number(digits)) }
    }

    fn atom(&mut self) -> Result<Atom, RegexError> {
        let node = match self.next()? {
            b'^' => return Ok(Atom::Assertion(Node::Look(Look::Start))),
            b'$' => return Ok(Atom::Assertion(Node::Look(Look::End))),
            b'(' => return self.group(),
            b'.' => Node::Bytes(ByteSet::of_bytes(b"\n\r").complement()),
            b'[' => Node::Bytes(self.class()?),
            b'\\' => match self.peek() {
                Some(b'b') => {
                    self.at += 1;
                    return Ok(Atom::Assertion(Node::Look(Look::WordBoundary)));
                }
                Some(b'B') => {
                    self.at += 1;
                    return Ok(Atom::Assertion(Node::Look(Look::NotWordBoundary)));
                }
                Some(b'k') => {
                    self.at += 1;
                    self.expect(b"<")?;
                    let name = self.group_name()?;
                    self.named_references.push(name);
                    Node::Concat(Vec::new())
                }
                Some(b'1'..=b'9') => {
                    let digits = self.take_while(|byte| byte.is_ascii_digit());
                    self.highest_reference = self.highest_reference.max(number(digits));
                    Node::Concat(Vec::new())
                }
                _ => match self.class_escape()? {
                    Some(set) => Node::Bytes(set),
                    None => {
                        let code_point = self.character_escape()?;
                        Node::Bytes(self.fold(ByteSet::of(code_point)))
                    }
                },
            },
            b'*' | b'+' | b'?' | b'{' | b'}' | b']' | b')' | b'|' => return Err(RegexError::Malformed),
            byte => Node::Bytes(self.fold(ByteSet::of(byte.into()))),
        };
        Ok(Atom::Quantifiable(node))
    }

    /// What follows `(`.
    fn group(&mut self) -> Result<Atom, RegexError> {
        let outer_case = self.ignore_case;
        let mut assertion = false;
        if !self.eat(b"?") {
            self.captures += 1;
        } else if self.eat(b"=") || self.eat(b"!") || self.eat(b"<=") || self.eat(b"<!") {
            assertion = true;
            self.mark_beyond_automata();
        } else if self.eat(b"<") {
            let name = self.group_name()?;
            if self.names.contains(&name) {
                return Err(RegexError::Malformed);
            }
            self.names.push(name);
            self.captures += 1;
        } else {
            self.modifiers()?;
        }
        let node = self.disjunction()?;
        self.expect(b")")?;
        self.ignore_case = outer_case;
        Ok(if assertion { Atom::Assertion(node) } else { Atom::Quantifiable(node) })
    }

    /// `(?:`, `(?i:`, `(?i-s:` and the like, after the question mark. `m` and `s` are about line breaks, which no
    /// component of a URL has.
    fn modifiers(&mut self) -> Result<(), RegexError> {
        let is_flag = |byte| matches!(byte, b'i' | b'm' | b's');
        let added = self.take_while(is_flag);
        let minus = self.eat(b"-");
        let removed = if minus { self.take_while(is_flag) } else { b"" };
        self.expect(b":")?;
        let mut all = [added, removed].concat();
        all.sort_unstable();
        let doubled = all.windows(2).any(|pair| pair[0] == pair[1]);
        if doubled || minus && all.is_empty() {
            return Err(RegexError::Malformed);
        }
        self.ignore_case = (self.ignore_case || added.contains(&b'i')) && !removed.contains(&b'i');
        Ok(())
    }

    /// A name and the `>` after it. Names beyond ASCII cannot occur: the groups of a URL pattern are ASCII.
    fn group_name(&mut self) -> Result<&'t [u8], RegexError> {
        let name = self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'));
        self.expect(b">")?;
        if name.first().is_none_or(u8::is_ascii_digit) { Err(RegexError::Malformed) } else { Ok(name) }
    }
}

/// Whether it stands for the empty text and nothing else. Such nodes are left out, so that every node costs a state when
/// it is compiled and the budget of states bounds the work.
fn is_empty(node: &Node) -> bool {
    matches!(node, Node::Concat(nodes) if nodes.is_empty())
}

/// Decimal digits as a number, which stops growing at [`MAX_COUNT`].
fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |value: u32, digit| (value * 10 + u32::from(digit - b'0')).min(MAX_COUNT))
}
