//! The grammar of RFC 6570, section 2.

use super::{Empty, Expression, Modifier, Operator, Piece, Variable};

/// The largest prefix (RFC 6570, section 2.4.1).
const MAX_PREFIX: u16 = 9_999;

/// Takes a template apart; `None` where it is malformed.
pub(super) fn parse(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        literal(&rest[..at], &mut pieces)?;
        let (inside, behind) = rest[at + 1..].split_once('}')?;
        pieces.push(Piece::Expression(expression(inside)?));
        rest = behind;
    }
    literal(rest, &mut pieces)?;
    Some(pieces)
}

/// Text between expressions.
fn literal(text: &str, pieces: &mut Vec<Piece>) -> Option<()> {
    if !is_literal(text.as_bytes()) {
        return None;
    }
    if !text.is_empty() {
        pieces.push(Piece::Literal(text.into()));
    }
    Some(())
}

/// Section 2.1, with the apostrophe, which its grammar leaves out by mistake, as its errata say, and with all characters
/// beyond ASCII.
fn is_literal(text: &[u8]) -> bool {
    let plain = |byte: u8| matches!(byte, b'!'..=b'~' | 0x80..) && !b"\"%<>\\^`{|}".contains(&byte);
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += match byte {
            b'%' if is_triplet(&text[at..]) => 3,
            byte if plain(byte) => 1,
            _ => return false,
        };
    }
    true
}

/// Whether a text begins with `%` and two hexadecimal digits.
pub(super) fn is_triplet(text: &[u8]) -> bool {
    matches!(text, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// What stands between braces.
fn expression(inside: &str) -> Option<Expression> {
    let (operator, variables) = operator(inside)?;
    let variables = variables.split(',').map(|text| variable(text, operator)).collect::<Option<_>>()?;
    Some(Expression { operator, variables })
}

const PLAIN: Operator = Operator { first: "", separator: ",", named: None, reserved: false };
const RESERVED: Operator = Operator { reserved: true, ..PLAIN };
const FRAGMENT: Operator = Operator { first: "#", ..RESERVED };
const LABEL: Operator = Operator { first: ".", separator: ".", ..PLAIN };
const SEGMENT: Operator = Operator { first: "/", separator: "/", ..PLAIN };
const PARAMETER: Operator = Operator { first: ";", separator: ";", named: Some(Empty::Bare), ..PLAIN };
const QUERY: Operator = Operator { first: "?", separator: "&", named: Some(Empty::WithEquals), ..PLAIN };
const CONTINUATION: Operator = Operator { first: "&", ..QUERY };

fn operator(inside: &str) -> Option<(&'static Operator, &str)> {
    let operator = match inside.bytes().next()? {
        b'+' => &RESERVED,
        b'#' => &FRAGMENT,
        b'.' => &LABEL,
        b'/' => &SEGMENT,
        b';' => &PARAMETER,
        b'?' => &QUERY,
        b'&' => &CONTINUATION,
        // Others are kept for later versions of the syntax, and are no names either.
        _ => return Some((&PLAIN, inside)),
    };
    Some((operator, &inside[1..]))
}

fn variable(text: &str, operator: &Operator) -> Option<Variable> {
    let (name, modifier) = if let Some(name) = text.strip_suffix('*') {
        (name, Modifier::Explode)
    } else if let Some((name, length)) = text.split_once(':') {
        (name, Modifier::Prefix(prefix(length)?))
    } else {
        (text, Modifier::None)
    };
    if !is_name(name.as_bytes()) {
        return None;
    }
    let name = if operator.named.is_some() { name } else { "" };
    Some(Variable { name: name.into(), modifier })
}

fn prefix(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|length| is_number && *length <= MAX_PREFIX)
}

/// Words of letters, digits, underscores and triplets, with single points between them (section 2.3).
fn is_name(name: &[u8]) -> bool {
    name.split(|byte| *byte == b'.').all(|word| {
        let mut at = 0;
        while let Some(&byte) = word.get(at) {
            at += match byte {
                b'%' if is_triplet(&word[at..]) => 3,
                byte if byte.is_ascii_alphanumeric() || byte == b'_' => 1,
                _ => return false,
            };
        }
        !word.is_empty()
    })
}
