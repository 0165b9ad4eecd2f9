//! Encodes forms and queries, in more than one spelling: what a server reads must not depend on how it was escaped.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// All but RFC 3986 unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a value is spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    /// Everything escaped that is not unreserved.
    #[default]
    Escaped,
    /// As browsers do: spaces become `+`.
    Plus,
    /// Every single byte escaped, in lower-case hexadecimal.
    Everything,
}

/// Percent-encodes one name, value or path segment.
pub fn escape(bytes: impl AsRef<[u8]>) -> String {
    spell(bytes.as_ref(), Spelling::Escaped)
}

/// Encodes pairs as `application/x-www-form-urlencoded`.
pub fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    encode_as(Spelling::Escaped, pairs)
}

/// As [`encode`], in this spelling.
pub fn encode_as<'a>(spelling: Spelling, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(&spell(name.as_bytes(), spelling));
        out.push('=');
        out.push_str(&spell(value.as_bytes(), spelling));
    }
    out
}

fn spell(bytes: &[u8], spelling: Spelling) -> String {
    match spelling {
        Spelling::Escaped => percent_encode(bytes, RESERVED).to_string(),
        Spelling::Plus => percent_encode(bytes, RESERVED).to_string().replace("%20", "+"),
        Spelling::Everything => bytes.iter().map(|byte| format!("%{byte:02x}")).collect(),
    }
}
