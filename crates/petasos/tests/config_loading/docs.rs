//! The tables of the documentation are those of the code, and its examples are configurations.

use std::{fs, path::PathBuf};

use petasos::config::docs;

use crate::support::{Given, SECRET, keys, nothing};

/// Set to write the tables into the page instead of comparing them.
const BLESS: &str = "BLESS_DOCS";

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md")
}

/// The first example on the page in this language.
fn example(language: &str) -> String {
    let page = fs::read_to_string(page()).expect("docs/configuration.md");
    let (_, rest) = page.split_once(&format!("\n```{language}\n")).expect("an example");
    rest.split_once("\n```\n").expect("its end").0.to_owned()
}

fn with_files(given: Given) -> Given {
    [
        "/run/secrets/publisher",
        "/run/secrets/subscriber",
        "/etc/petasos/tls/cert.pem",
        "/etc/petasos/tls/key.pem",
    ]
    .into_iter()
    .fold(given, |given, path| given.file(path, SECRET))
}

#[test]
fn the_examples_of_the_page_can_be_used() {
    let file = with_files(nothing().toml(&example("toml")));
    assert_eq!((file.notices().as_str(), file.config().auth.issuers.len()), ("", 2));
    let public_key = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+\
        dFabmdT9POxg==\n-----END PUBLIC KEY-----\n";
    let json =
        nothing().variable("PETASOS_ISSUERS", &example("json")).file("/run/secrets/key.pem", public_key);
    assert_eq!(json.config().auth.issuers.len(), 1);
    let directives =
        keys().variable("MERCURE_EXTRA_DIRECTIVES", &example("caddyfile")).variable("PUBLISHER_KEY", SECRET);
    assert_eq!(directives.config().auth.issuers.len(), 2);
    assert_eq!(directives.store().retention.events, 100_000);
}

#[test]
fn the_page_about_configuration_has_the_tables_of_the_code() {
    let path = page();
    let page = fs::read_to_string(&path).expect("docs/configuration.md");
    let mut expected = page.clone();
    for (name, table) in [("options", docs::options_table()), ("directives", docs::directives_table())] {
        let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
        let (before, rest) = expected.split_once(&begin).expect("the mark where the table begins");
        let (_, after) = rest.split_once(&end).expect("the mark where it ends");
        expected = format!("{before}{begin}{table}{end}{after}");
    }
    if std::env::var_os(BLESS).is_some() {
        fs::write(&path, expected).expect("the page is written");
    } else {
        assert!(page == expected, "the tables differ: run this test with {BLESS}=1 and look at what changed");
    }
}
