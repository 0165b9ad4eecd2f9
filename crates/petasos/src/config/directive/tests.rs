//! The syntax of directives. What they mean is tested through the whole configuration, in `tests/config_*.rs`.

use super::syntax::{Line, Placeholder, SyntaxError, parse};

fn lookup(placeholder: &Placeholder) -> Option<String> {
    match placeholder {
        Placeholder::Variable(name) => match name.as_str() {
            "KEY" => Some("a key with spaces".to_owned()),
            "LINES" => Some("anonymous\nsubscriptions".to_owned()),
            _ => None,
        },
        Placeholder::File(path) => (path == "/run/key").then(|| "from a file".to_owned()),
    }
}

fn read(text: &str) -> Vec<Line> {
    let (lines, errors) = parse(text, &lookup);
    assert_eq!(errors, Vec::<SyntaxError>::new(), "{text}");
    lines
}

/// Name and arguments of every line, blocks left out.
fn words(text: &str) -> Vec<Vec<String>> {
    let words = |line: Line| [vec![line.name], line.arguments].concat();
    read(text).into_iter().map(words).collect()
}

#[test]
fn a_line_is_a_directive_and_its_arguments() {
    let text = "anonymous\n\n  cors_origins\thttps://a.example https://b.example \r\nheartbeat 15s";
    let expected = [
        vec!["anonymous"],
        vec!["cors_origins", "https://a.example", "https://b.example"],
        vec!["heartbeat", "15s"],
    ];
    assert_eq!(words(text), expected);
    assert!(words(" \n\r\n\t").is_empty());
}

#[test]
fn comments_begin_with_a_word_and_end_with_the_line() {
    assert_eq!(words("# first\nname a#b # c\n#\nname d"), [["name", "a#b"], ["name", "d"]]);
}

#[test]
fn quotes_hold_spaces_lines_and_braces() {
    assert_eq!(words(r#"name "a \"b\" \n {" `c "d"`"#), [["name", "a \"b\" \\n {", "c \"d\""]]);
    let lines = read("jwt `-----BEGIN\n#x\n-----END` RS256\nname x");
    assert_eq!(lines[0].arguments, ["-----BEGIN\n#x\n-----END", "RS256"]);
    assert_eq!(lines[1].number, 4);
    assert_eq!(words("name \"\""), [["name", ""]]);
}

#[test]
fn a_backslash_at_its_end_continues_a_line() {
    assert_eq!(
        words("cors_origins a \\\n  b \\\r\n c\nname d\\e"),
        [vec!["cors_origins", "a", "b", "c"], vec!["name", "d\\e"]]
    );
}

#[test]
fn blocks_lie_in_one_another_also_on_one_line() {
    let long = "issuer https://a.example {\n\n  authorization_server # yes\n  publisher {\n    jwt k HS256\n  }\n}\nname x";
    let short = "issuer https://a.example { authorization_server\n publisher { jwt k HS256 } }\nname x";
    for text in [long, short] {
        let lines = read(text);
        assert_eq!((lines.len(), lines[1].name.as_str()), (2, "name"), "{text}");
        let block = lines[0].block.as_ref().expect("a block");
        assert_eq!((block[0].name.as_str(), block[1].name.as_str()), ("authorization_server", "publisher"));
        let keys = block[1].block.as_ref().expect("a block");
        assert_eq!(
            (keys.len(), keys[0].arguments.as_slice()),
            (1, &["k".to_owned(), "HS256".to_owned()][..])
        );
    }
    assert_eq!(read("transport local {\n}")[0].block, Some(Vec::new()));
}

#[test]
fn late_placeholders_are_never_split_and_empty_ones_are_no_arguments() {
    let lines = read("jwt {env.KEY} {env.NOT_SET}\njwks_uri file-{file./run/key}-{env.KEY}");
    assert_eq!(lines[0].arguments, ["a key with spaces"]);
    assert_eq!(lines[0].unset, ["env.NOT_SET"]);
    assert_eq!(lines[1].arguments, ["file-from a file-a key with spaces"]);
    assert!(words("{env.NOT_SET}\n{env.NOT_SET}").is_empty());
}

#[test]
fn early_placeholders_are_text_and_may_have_defaults() {
    assert_eq!(
        words("{$LINES}\nname {$NOT_SET:a b} {$NOT_SET}"),
        [vec!["anonymous"], vec!["subscriptions"], vec!["name", "a", "b"]]
    );
}

#[test]
fn other_braces_stay_as_they_are() {
    assert_eq!(words("jwt a{b}c{ {http.x} {$"), [["jwt", "a{b}c{", "{http.x}", "{$"]]);
}

#[test]
fn faults_are_told_with_their_lines_and_the_rest_is_read() {
    for (text, line, part, names) in [
        ("name x\n}\nname y", 2, "there is no {", &["name", "name"][..]),
        ("name x\nissuer a {\n publisher {", 3, "never closed", &["name", "issuer"]),
        ("\n{ x }\nname y", 2, "needs a directive", &["name"]),
        ("name `abc\n", 1, "quote ` is never closed", &["name"]),
        ("jwt <<EOF\nEOF", 1, "heredocs", &["jwt", "EOF"]),
        ("a { b { c { d { e { f { g { h { i {", 1, "deeper", &["a"]),
    ] {
        let (lines, errors) = parse(text, &lookup);
        assert!(errors.iter().any(|(at, error)| *at == line && error.contains(part)), "{text}: {errors:?}");
        assert_eq!(lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), names, "{text}");
    }
}
