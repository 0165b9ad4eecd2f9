//! The `urlpattern` crate, used for what it does well: splitting a pattern into components and encoding their fixed
//! text as the URL parser would.
//!
//! Regular expressions are kept as text here and compiled by our own machine later (see [`super::super::regex`]).
//! The crate's own are not used: they take 64 to 140 KiB for each pattern, and follow another syntax than the
//! standard's.

use std::{
    cell::OnceCell,
    panic::{AssertUnwindSafe, catch_unwind},
};

use urlpattern::{RegexSyntax, UrlPattern, UrlPatternInit, UrlPatternOptions, regexp::RegExp};

use super::super::{
    Base, MatcherError,
    regex::{Budget, Program, parse},
};

/// How many groups (`{…}`, `(…)`, `:name`, `*`) a pattern may have. The crate compares every name with every other one
/// and looks for the end of every parenthesis; this bounds both.
const MAX_GROUPS: usize = 256;

/// The states that the protocol's expression may take while the crate asks which special schemes it matches.
const PROTOCOL_STATES: usize = 500;

/// The text of a regular expression. Compiled only for the one question that the crate asks while it parses.
#[derive(Debug)]
pub(super) struct RegexText {
    text: String,
    program: OnceCell<Option<Program>>,
}

impl RegExp for RegexText {
    fn syntax() -> RegexSyntax {
        RegexSyntax::EcmaScript
    }

    fn parse(pattern: &str, _flags: &str, _force_eval: bool) -> Result<Self, ()> {
        Ok(Self { text: pattern.to_owned(), program: OnceCell::new() })
    }

    fn matches<'a>(&self, text: &'a str) -> Option<Vec<Option<&'a str>>> {
        let program = self.program.get_or_init(|| {
            let node = parse(&self.text).ok()?;
            Program::compile(&node, &mut Budget::new(PROTOCOL_STATES)).ok()
        });
        program.as_ref()?.is_match(text).then(Vec::new)
    }

    fn pattern_string(&self) -> &str {
        &self.text
    }
}

/// Parses a pattern string; relative ones are resolved against `base`.
///
/// # Errors
/// [`MatcherError::Malformed`] and [`MatcherError::TooComplex`].
pub(super) fn parse_text(value: &str, base: &Base) -> Result<UrlPattern<RegexText>, MatcherError> {
    let groups = value.bytes().filter(|byte| matches!(byte, b'{' | b'(' | b':' | b'*')).count();
    if groups > MAX_GROUPS {
        return Err(MatcherError::TooComplex);
    }
    guarded(|| {
        let mut init =
            UrlPatternInit::parse_constructor_string::<RegexText>(value, Some(base.url().clone()))?;
        if init.protocol.is_some() {
            // A pattern with a protocol is absolute. With a base, the path of `data\:*` would be resolved against it.
            init.base_url = None;
        } else if let Some(pathname) = &init.pathname
            && !is_absolute(pathname)
        {
            // The crate would insert the directory of the base without escaping it.
            let (directory, _) = base.url().path().rsplit_once('/').unwrap_or_default();
            init.pathname = Some(format!("{}/{pathname}", escape(directory)));
        }
        parse_components(init)
    })
}

/// Parses a pattern that is given by its components, as the tests of the web platform do.
#[cfg(test)]
pub(super) fn parse_init(init: UrlPatternInit) -> Result<UrlPattern<RegexText>, MatcherError> {
    guarded(|| parse_components(init))
}

fn parse_components(init: UrlPatternInit) -> Result<UrlPattern<RegexText>, urlpattern::Error> {
    let options = UrlPatternOptions { regex_syntax: RegexSyntax::EcmaScript, ignore_case: false };
    UrlPattern::parse(init, options)
}

/// The crate asserts some of its assumptions, and patterns come from anybody. One is known to fail, only in builds that
/// check arithmetic: a closing bracket in a host without an opening one.
fn guarded<T>(parse: impl FnOnce() -> Result<T, urlpattern::Error>) -> Result<T, MatcherError> {
    match catch_unwind(AssertUnwindSafe(parse)) {
        Ok(Ok(pattern)) => Ok(pattern),
        Ok(Err(_)) | Err(_) => Err(MatcherError::Malformed),
    }
}

/// As the standard has it for the paths of patterns.
fn is_absolute(pathname: &str) -> bool {
    ["/", "\\/", "{/"].iter().any(|start| pathname.starts_with(start))
}

/// Makes a text a pattern that matches this text only.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '+' | '*' | '?' | ':' | '{' | '}' | '(' | ')' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
