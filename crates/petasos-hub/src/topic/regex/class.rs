//! Escapes and character classes, with the set notation of `v` mode.

use super::{ByteSet, RegexError, parse::Parser};

/// Characters that two of in a row are reserved for later versions of the syntax.
const RESERVED_WHEN_DOUBLED: &[u8] = b"&!#$%*+,.:;<=>?@^`~";

/// Characters that an escape inside a class takes literally, besides those it does everywhere.
const CLASS_PUNCTUATION: &[u8] = b"&-!#%,:;<=>@`~";

/// One member of a class.
enum Member {
    /// A single character, which may begin a range.
    Character(u32),
    Set(ByteSet),
}

impl Parser<'_> {
    /// What follows `[`, up to and including its `]`.
    pub(super) fn class(&mut self) -> Result<ByteSet, RegexError> {
        self.enter()?;
        let negated = self.eat(b"^");
        let set = if self.eat(b"]") { ByteSet::NONE } else { self.class_contents()? };
        self.leave();
        let set = self.fold(set);
        Ok(if negated { set.complement() } else { set })
    }

    fn class_contents(&mut self) -> Result<ByteSet, RegexError> {
        let first = self.member(true)?;
        if self.eat(b"&&") {
            return self.set_operation(first, b"&&", |left, right| left & right);
        }
        if self.eat(b"--") {
            return self.set_operation(first, b"--", ByteSet::without);
        }
        let mut set = ByteSet::NONE;
        let mut member = first;
        loop {
            set = set | self.range_from(member)?;
            if self.eat(b"]") {
                return Ok(set);
            }
            member = self.member(false)?;
        }
    }

    /// The operands after the first operator; ranges and unions do not mix with operators.
    fn set_operation(
        &mut self,
        first: Member,
        operator: &[u8],
        apply: impl Fn(ByteSet, ByteSet) -> ByteSet,
    ) -> Result<ByteSet, RegexError> {
        let mut set = self.operand(first);
        loop {
            if self.peek() == Some(b'&') {
                return Err(RegexError::Malformed);
            }
            let member = self.member(false)?;
            set = apply(set, self.operand(member));
            if self.eat(b"]") {
                return Ok(set);
            }
            self.expect(operator)?;
        }
    }

    /// Case is folded before the operation: `[A--a]` with `i` is empty.
    fn operand(&self, member: Member) -> ByteSet {
        self.fold(match member {
            Member::Character(code_point) => ByteSet::of(code_point),
            Member::Set(set) => set,
        })
    }

    /// `member` alone, or the range that it begins.
    fn range_from(&mut self, member: Member) -> Result<ByteSet, RegexError> {
        let is_range = self.peek() == Some(b'-') && !matches!(self.peek_second(), Some(b'-' | b']'));
        match member {
            Member::Character(first) if is_range => {
                self.expect(b"-")?;
                match self.member(false)? {
                    Member::Character(last) if first <= last => Ok(ByteSet::range(first, last)),
                    _ => Err(RegexError::Malformed),
                }
            }
            Member::Character(code_point) => Ok(ByteSet::of(code_point)),
            Member::Set(set) => Ok(set),
        }
    }

    fn member(&mut self, at_edge: bool) -> Result<Member, RegexError> {
        let byte = self.next()?;
        match byte {
            b'[' => Ok(Member::Set(self.class()?)),
            b'\\' => self.class_member_escape(),
            b'-' if at_edge && self.peek() != Some(b'-') || self.peek() == Some(b']') => {
                Ok(Member::Character(byte.into()))
            }
            b'-' | b']' => Err(RegexError::Malformed),
            _ if RESERVED_WHEN_DOUBLED.contains(&byte) && self.peek() == Some(byte) => {
                Err(RegexError::Malformed)
            }
            _ => Ok(Member::Character(byte.into())),
        }
    }

    fn class_member_escape(&mut self) -> Result<Member, RegexError> {
        match self.peek() {
            Some(b'b') => {
                self.next()?;
                Ok(Member::Character(0x08))
            }
            // Strings as members make a class match more than one character.
            Some(b'q') => Err(RegexError::TooComplex),
            Some(byte) if CLASS_PUNCTUATION.contains(&byte) => {
                self.next()?;
                Ok(Member::Character(byte.into()))
            }
            _ => match self.class_escape()? {
                Some(set) => Ok(Member::Set(set)),
                None => Ok(Member::Character(self.character_escape()?)),
            },
        }
    }

    /// What follows a backslash, if it stands for a set: `\d`, `\p{…}` and the like.
    pub(super) fn class_escape(&mut self) -> Result<Option<ByteSet>, RegexError> {
        let Some(byte) = self.peek() else {
            return Err(RegexError::Malformed);
        };
        let set = match byte.to_ascii_lowercase() {
            b'd' => ByteSet::range(0x30, 0x39),
            b'w' => word(),
            b's' => ByteSet::range(0x09, 0x0D) | ByteSet::of(0x20),
            b'p' => {
                self.next()?;
                let set = self.property()?;
                return Ok(Some(if byte == b'P' { set.complement() } else { set }));
            }
            _ => return Ok(None),
        };
        self.next()?;
        Ok(Some(if byte.is_ascii_uppercase() { set.complement() } else { set }))
    }

    /// `{…}` of a Unicode property, of which only the ASCII part matters. Names are taken a little more liberally than
    /// JavaScript does.
    fn property(&mut self) -> Result<ByteSet, RegexError> {
        self.expect(b"{")?;
        let name = self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'='));
        self.expect(b"}")?;
        let name = str::from_utf8(name).map_err(|_| RegexError::Malformed)?;
        let parsed = regex_syntax::parse(&format!("[\\p{{{name}}}&&[\\x00-\\x7F]]"))
            .map_err(|_| RegexError::Malformed)?;
        let set = match parsed.kind() {
            regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => {
                class.ranges().iter().fold(ByteSet::NONE, |set, range| {
                    set | ByteSet::range(range.start().into(), range.end().into())
                })
            }
            // A class of one character comes back as a literal.
            regex_syntax::hir::HirKind::Literal(literal) => ByteSet::of_bytes(&literal.0),
            _ => ByteSet::NONE,
        };
        Ok(self.fold(set))
    }

    /// What follows a backslash, if it stands for one character: its code point.
    pub(super) fn character_escape(&mut self) -> Result<u32, RegexError> {
        let byte = self.next()?;
        Ok(match byte {
            b'f' => 0x0C,
            b'n' => 0x0A,
            b'r' => 0x0D,
            b't' => 0x09,
            b'v' => 0x0B,
            b'c' => {
                let letter = self.next()?;
                if !letter.is_ascii_alphabetic() {
                    return Err(RegexError::Malformed);
                }
                u32::from(letter & 0x1F)
            }
            b'0' if !self.peek().is_some_and(|next| next.is_ascii_digit()) => 0,
            b'x' => self.hex_digits(2)?,
            b'u' => self.unicode_escape()?,
            b'^' | b'$' | b'\\' | b'.' | b'*' | b'+' | b'?' | b'(' | b')' | b'[' | b']' | b'{' | b'}'
            | b'|' | b'/' => byte.into(),
            _ => return Err(RegexError::Malformed),
        })
    }

    fn hex_digits(&mut self, count: usize) -> Result<u32, RegexError> {
        let mut value = 0;
        for _ in 0..count {
            let digit = char::from(self.next()?).to_digit(16).ok_or(RegexError::Malformed)?;
            value = value << 4 | digit;
        }
        Ok(value)
    }

    /// `\uXXXX` or `\u{…}`. Halves of a surrogate pair are taken one by one: either way they match nothing in ASCII.
    fn unicode_escape(&mut self) -> Result<u32, RegexError> {
        if !self.eat(b"{") {
            return self.hex_digits(4);
        }
        let digits = self.take_while(|byte| byte.is_ascii_hexdigit());
        self.expect(b"}")?;
        let value = digits.iter().try_fold(0u32, |value, &digit| {
            let value = value << 4 | char::from(digit).to_digit(16)?;
            (value <= 0x10_FFFF).then_some(value)
        });
        if digits.is_empty() { Err(RegexError::Malformed) } else { value.ok_or(RegexError::Malformed) }
    }
}

/// `\w`
pub(super) fn word() -> ByteSet {
    ByteSet::range(0x30, 0x39) | ByteSet::range(0x41, 0x5A) | ByteSet::range(0x61, 0x7A) | ByteSet::of(0x5F)
}
