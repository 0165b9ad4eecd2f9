//! What a log line may not show, as the last line of defence: whoever logs takes care by itself. Pure.

use std::borrow::Cow;

/// Where the query of a request to the hub begins: topics, cursors and, in old clients, tokens.
const HUB_PATH: &str = "/.well-known/mercure";

/// How every JSON Web Token begins: `{"` in base64.
const TOKEN_START: &str = "eyJ";

/// Line breaks are written as `\n` and `\r`.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\n', '\r']) {
        text.replace('\n', "\\n").replace('\r', "\\r").into()
    } else {
        text.into()
    }
}

/// Tokens, and the queries of requests to the hub, are left out.
pub(super) fn secrets(line: &str) -> Cow<'_, str> {
    if !line.contains(TOKEN_START) && !line.contains(HUB_PATH) {
        return line.into();
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((at, found)) = first(rest) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        rest = match found {
            Found::Token(len) => {
                out.push_str("[token]");
                &from[len..]
            }
            Found::Hub => {
                let url = &from[..from.find(ends_url).unwrap_or(from.len())];
                let path = &url[..url.find('?').map_or(url.len(), |mark| mark + 1)];
                out.push_str(path);
                if path.ends_with('?') {
                    out.push_str("[query]");
                }
                &from[url.len()..]
            }
        };
    }
    out.push_str(rest);
    out.into()
}

enum Found {
    /// Its length in bytes.
    Token(usize),
    Hub,
}

/// The first of what must not be shown, and where it is.
fn first(text: &str) -> Option<(usize, Found)> {
    let hub = text.find(HUB_PATH);
    let token = text.match_indices(TOKEN_START).find_map(|(at, _)| Some((at, token_len(&text[at..])?)));
    match (hub, token) {
        (Some(hub), Some((at, len))) if at < hub => Some((at, Found::Token(len))),
        (Some(hub), _) => Some((hub, Found::Hub)),
        (None, token) => token.map(|(at, len)| (at, Found::Token(len))),
    }
}

/// The length of a token that begins here, if what follows could be one.
fn token_len(text: &str) -> Option<usize> {
    let len = text.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(text.len());
    text[..len].contains('.').then_some(len)
}

fn ends_url(character: char) -> bool {
    character.is_whitespace() || "\"'<>`\\".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_are_left_alone() {
        for line in
            ["", "serving addresses=[127.0.0.1:80]", "why? eyJ is no token", "GET /.well-known/mercure 200"]
        {
            assert_eq!(secrets(line), line);
        }
    }

    #[test]
    fn tokens_are_left_out_wherever_they_are() {
        let token = "eyJh_b-c.eyJ0.sig-_";
        assert_eq!(secrets(&format!("a {token}, \"{token}\" {token}")), "a [token], \"[token]\" [token]");
        assert_eq!(secrets("cookie=eyJh.eyJi."), "cookie=[token]");
    }

    #[test]
    fn queries_are_left_out_to_the_end_of_the_url() {
        assert_eq!(
            secrets("path=\"/.well-known/mercure?match=a&b=c\" x /.well-known/mercure/subscriptions?x é"),
            "path=\"/.well-known/mercure?[query]\" x /.well-known/mercure/subscriptions?[query] é"
        );
        assert_eq!(
            secrets("eyJa.b /.well-known/mercure?authorization=eyJa.b.c"),
            "[token] /.well-known/mercure?[query]"
        );
    }

    #[test]
    fn line_breaks_are_written_out() {
        assert_eq!(one_line("a\r\nb"), "a\\r\\nb");
        assert_eq!(one_line("a"), "a");
    }
}
