//! The syntax of directives, a subset of that of Caddyfiles: words on lines, quotes, comments, blocks, continuation
//! lines and placeholders. Knows nothing of what directives mean.

use std::iter::Peekable;

/// How deep blocks may lie in one another. `issuer` needs two.
const DEPTH: usize = 8;

/// A line of directives with what belongs to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from one.
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    /// What stands in braces behind it.
    pub(super) block: Option<Vec<Line>>,
    /// Placeholders that came to nothing, so that an argument which is missing can be explained.
    pub(super) unset: Vec<String>,
}

/// Something that is no directive: the line, and what is wrong with it.
pub(super) type SyntaxError = (usize, String);

/// Looks up what a placeholder stands for.
pub(super) type Lookup<'a> = dyn Fn(&Placeholder) -> Option<String> + 'a;

/// What stands in braces within a word.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// `{env.NAME}` and `{$NAME}`.
    Variable(String),
    /// `{file./path}`.
    File(String),
}

/// Splits `text` into directives. All errors come back, beside what could be read.
pub(super) fn parse(text: &str, lookup: &Lookup<'_>) -> (Vec<Line>, Vec<SyntaxError>) {
    let mut errors = Vec::new();
    let text = replace_early(text, lookup);
    let tokens = tokens(&text, &mut errors);
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), lookup, errors };
    let mut lines = parser.lines(0);
    // A brace too many ends the outermost block; what follows is read nevertheless.
    while let Some(Token { number, .. }) = parser.tokens.next() {
        parser.errors.push((number, "there is no { for this }".to_owned()));
        lines.extend(parser.lines(0));
    }
    (lines, parser.errors)
}

/// Replaces `{$NAME}` and `{$NAME:default}` in the text as a whole: what they stand for may be several words or lines.
fn replace_early(text: &str, lookup: &Lookup<'_>) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{$") {
        replaced.push_str(before);
        let Some((inside, following)) = after.split_once('}') else {
            replaced.push_str("{$");
            rest = after;
            continue;
        };
        let (name, default) = inside.split_once(':').unwrap_or((inside, ""));
        let value = lookup(&Placeholder::Variable(name.trim().to_owned()));
        replaced.push_str(value.as_deref().unwrap_or(default));
        rest = following;
    }
    replaced + rest
}

#[derive(Debug)]
struct Token {
    number: usize,
    kind: TokenKind,
}

#[derive(Debug, PartialEq, Eq)]
enum TokenKind {
    Word { text: String, quoted: bool },
    Open,
    Close,
    EndOfLine,
}

fn tokens(text: &str, errors: &mut Vec<SyntaxError>) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut number = 1;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let start = number;
        let mut push = |kind| tokens.push(Token { number: start, kind });
        match character {
            '\n' => {
                push(TokenKind::EndOfLine);
                number += 1;
            }
            '#' => while characters.next_if(|next| *next != '\n').is_some() {},
            '"' | '`' => match quoted(&mut characters, character, &mut number) {
                Some(text) => push(TokenKind::Word { text, quoted: true }),
                None => errors.push((start, format!("the quote {character} is never closed"))),
            },
            '\\' if skip_line_break(&mut characters) => number += 1,
            _ if character.is_whitespace() => {}
            _ => {
                let mut text = String::from(character);
                while let Some(next) = characters.next_if(|next| !next.is_whitespace()) {
                    text.push(next);
                }
                match text.as_str() {
                    "{" => push(TokenKind::Open),
                    "}" => push(TokenKind::Close),
                    _ if text.starts_with("<<") => {
                        errors.push((start, "heredocs are not read: put the text into backticks".to_owned()));
                    }
                    _ => push(TokenKind::Word { text, quoted: false }),
                }
            }
        }
    }
    tokens
}

/// Reads up to the closing quote. Within `"`, `\"` is a quote; within backticks everything is itself.
fn quoted(
    characters: &mut Peekable<impl Iterator<Item = char>>,
    quote: char,
    number: &mut usize,
) -> Option<String> {
    let mut text = String::new();
    while let Some(character) = characters.next() {
        match character {
            _ if character == quote => return Some(text),
            '\\' if quote == '"' && characters.next_if_eq(&'"').is_some() => text.push('"'),
            _ => {
                *number += usize::from(character == '\n');
                text.push(character);
            }
        }
    }
    None
}

/// Whether the backslash just read stands at the end of its line, which then goes on with the next one.
fn skip_line_break(characters: &mut Peekable<impl Iterator<Item = char>>) -> bool {
    characters.next_if_eq(&'\r');
    characters.next_if_eq(&'\n').is_some()
}

struct Parser<'a, T: Iterator<Item = Token>> {
    tokens: Peekable<T>,
    lookup: &'a Lookup<'a>,
    errors: Vec<SyntaxError>,
}

impl<T: Iterator<Item = Token>> Parser<'_, T> {
    /// Reads directives up to the brace that closes their block, which is left, or to the end.
    fn lines(&mut self, depth: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        loop {
            while self.tokens.next_if(|token| token.kind == TokenKind::EndOfLine).is_some() {}
            match self.tokens.peek() {
                None | Some(Token { kind: TokenKind::Close, .. }) => return lines,
                Some(_) => lines.extend(self.line(depth)),
            }
        }
    }

    /// Reads one directive; `None` where there was only an error.
    fn line(&mut self, depth: usize) -> Option<Line> {
        let mut words = Vec::new();
        let mut unset = Vec::new();
        let mut block = None;
        let mut start = 0;
        while let Some(token) = self.tokens.next_if(|token| token.kind != TokenKind::Close) {
            if start == 0 {
                start = token.number;
            }
            match token.kind {
                TokenKind::Word { text, quoted } => {
                    let word = self.replace_late(&text, &mut unset);
                    // A placeholder that comes to nothing is no argument: `jwt {env.KEY} {env.ALG}`.
                    if !word.is_empty() || (quoted && text.is_empty()) {
                        words.push(word);
                    }
                }
                TokenKind::Open => {
                    block = Some(self.block(token.number, depth));
                    break;
                }
                TokenKind::EndOfLine | TokenKind::Close => break,
            }
        }
        if words.is_empty() {
            if block.is_some() || unset.is_empty() {
                self.errors.push((start, "a block needs a directive before its {".to_owned()));
            }
            return None;
        }
        let name = words.remove(0);
        Some(Line { number: start, name, arguments: words, block, unset })
    }

    fn block(&mut self, number: usize, depth: usize) -> Vec<Line> {
        if depth == DEPTH {
            self.errors.push((number, format!("blocks lie deeper in one another than {DEPTH}")));
            // Nothing that follows could be understood.
            while self.tokens.next().is_some() {}
            return Vec::new();
        }
        let lines = self.lines(depth + 1);
        if self.tokens.next().is_none() {
            self.errors.push((number, "the block is never closed: } is missing".to_owned()));
        }
        lines
    }

    /// Replaces the placeholders within a word. What they stand for is not split any more.
    fn replace_late(&self, word: &str, unset: &mut Vec<String>) -> String {
        let mut replaced = String::with_capacity(word.len());
        let mut rest = word;
        while let Some((before, after)) = rest.split_once('{') {
            replaced.push_str(before);
            rest = after;
            let Some((inside, following)) = after.split_once('}') else {
                replaced.push('{');
                continue;
            };
            let placeholder = match (inside.strip_prefix("env."), inside.strip_prefix("file.")) {
                (Some(name), _) => Placeholder::Variable(name.to_owned()),
                (None, Some(path)) => Placeholder::File(path.to_owned()),
                // Not ours: secrets and patterns may contain braces.
                (None, None) => {
                    replaced.push('{');
                    continue;
                }
            };
            match (self.lookup)(&placeholder) {
                Some(value) => replaced.push_str(&value),
                None => unset.push(inside.to_owned()),
            }
            rest = following;
        }
        replaced + rest
    }
}
