//! `petasos token` and `petasos token check` as they are typed, with a configuration file.

use std::path::PathBuf;

use clap::{Args as _, FromArgMatches};

use super::{check::Checked, *};

const SECRET: &str = "a secret of at least thirty-two bytes, for both roles";

/// A directory with a configuration.
struct Setting {
    directory: tempfile::TempDir,
}

impl Setting {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("petasos.toml"), config).expect("written");
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the command line comes to, with this configuration.
    fn parse(&self, line: &[&str]) -> Result<Args, clap::Error> {
        let mut line: Vec<&str> = [&["token"], line].concat();
        let config = self.path("petasos.toml");
        line.extend(["--config", config.to_str().expect("UTF-8")]);
        let matches = Args::augment_args(clap::Command::new("token")).try_get_matches_from(line)?;
        Args::from_arg_matches(&matches)
    }

    fn mint(&self, line: &[&str]) -> Result<(String, Vec<String>), String> {
        let args = self.parse(line).expect("a command line");
        let minted = mint_command::mint(&args.mint).map_err(|error| error.to_string())?;
        Ok((minted.token, minted.warnings))
    }

    async fn check(&self, token: &str, line: &[&str]) -> Checked {
        let args = self.parse(&[&["check", token], line].concat()).expect("a command line");
        let Some(Command::Check(args)) = args.command else { panic!("another command") };
        let checked = check::check(&args).await.expect("it can be checked");
        let signature = token.rsplit('.').next().expect("a part");
        assert!(!checked.text.contains(signature), "the token is not shown");
        checked
    }
}

fn one_issuer() -> Setting {
    Setting::new(&format!(
        "listen = [\"localhost:3000\"]\n[transport]\nurl = \"local://\"\n[[issuers]]\nid = \"https://issuer.test\"\n\
         publisher = {{ jwt_key = {SECRET:?} }}\nsubscriber = {{ jwt_key = {SECRET:?} }}\n"
    ))
}

#[test]
fn the_commands_are_well_formed() {
    Args::augment_args(clap::Command::new("token")).debug_assert();
    crate::client::publish::Args::augment_args(clap::Command::new("publish")).debug_assert();
    crate::client::subscribe::Args::augment_args(clap::Command::new("subscribe")).debug_assert();
}

#[tokio::test]
async fn a_token_that_was_minted_from_the_configuration_is_accepted_by_it() {
    let setting = one_issuer();
    let line = [
        "--publish",
        "https://a.test/1",
        "b",
        "--subscribe-pattern",
        "https://a.test/:id",
        "--subject",
        "ada",
    ];
    let (token, warnings) = setting.mint(&line).expect("a token");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("the audience is http://localhost:3000/.well-known/mercure"),
        "{warnings:?}"
    );
    let checked = setting.check(&token, &["--topic", "https://a.test/1"]).await;
    assert!(checked.accepted, "{}", checked.text);
    for expected in [
        "\"iss\": \"https://issuer.test\"",
        "As a publisher of http://localhost:3000/.well-known/mercure:",
        "✓ A11 aud",
        "Times: issued ",
        ", expires in 60 min\n",
        "Accepted.",
        "It may publish on:\n  exact https://a.test/1\n  exact b\n",
        "As a subscriber of",
        "It may read private updates of:\n  urlpattern https://a.test/:id\n",
        "✓ topic https://a.test/1: granted",
    ] {
        assert!(checked.text.contains(expected), "{expected} is missing in\n{}", checked.text);
    }
    let checked =
        setting.check(&token, &["--role", "publisher", "--topic", "b", "--topic", "https://a.test/2"]).await;
    assert!(!checked.accepted);
    assert!(checked.text.contains("✗ topic https://a.test/2: not granted"), "{}", checked.text);
}

#[tokio::test]
async fn the_rule_that_refuses_a_token_is_named_with_the_next_step() {
    let setting = one_issuer();
    let (token, _) =
        setting.mint(&["--publish", "*", "--audience", "https://elsewhere.test"]).expect("a token");
    let checked = setting.check(&token, &[]).await;
    assert!(!checked.accepted);
    assert!(checked.text.contains("✗ A11 aud") && checked.text.contains("next step:"), "{}", checked.text);
    assert!(checked.text.contains("401 invalid_token, wrong_audience"), "{}", checked.text);
    assert!(checked.text.contains("Refused by rule A11 (aud)."), "{}", checked.text);
    let key = setting.path("key");
    std::fs::write(&key, "another secret of at least thirty-two bytes\r\n").expect("written");
    let line = ["--publish", "*", "--key-file", key.to_str().expect("UTF-8")];
    let checked = setting.check(&setting.mint(&line).expect("a token").0, &[]).await;
    assert!(checked.text.contains("401 invalid_token, bad_signature"), "{}", checked.text);
    let checked = setting.check("no token", &[]).await;
    assert!(checked.text.contains("Header: cannot be read") && !checked.accepted, "{}", checked.text);
}

#[tokio::test]
async fn the_demo_needs_no_configuration() {
    let setting = Setting::new("[transport]\nurl = \"local://\"\n");
    let (token, _) = setting.mint(&["--dev", "--publish", "*", "--subscribe", "*"]).expect("a token");
    let checked = setting.check(&token, &["--dev"]).await;
    assert!(checked.accepted, "{}", checked.text);
    assert!(setting.mint(&["--publish", "*"]).is_err(), "without --dev there is no key");
}

#[test]
fn one_token_cannot_be_signed_with_two_keys() {
    let setting = Setting::new(
        "[transport]\nurl = \"local://\"\n[[issuers]]\nid = \"https://issuer.test\"\n\
         publisher = { jwt_key = \"the secret of publishers, thirty-two bytes\" }\n\
         subscriber = { jwt_key = \"the secret of subscribers, thirty-two bytes\" }\n",
    );
    assert!(setting.mint(&["--publish", "*"]).is_ok());
    assert!(setting.mint(&["--subscribe", "*"]).is_ok());
    let error = setting.mint(&["--publish", "*", "--subscribe", "*"]).expect_err("two keys");
    assert!(error.contains("has different keys for publishers and subscribers: mint two tokens"), "{error}");
}

#[test]
fn several_issuers_are_told_apart_by_a_flag() {
    let setting = Setting::new(
        "[transport]\nurl = \"local://\"\n[[issuers]]\nid = \"https://one.test\"\n\
         publisher = { jwt_key = \"the secret of the first, thirty-two bytes\" }\n[[issuers]]\nid = \"https://two.test\"\n\
         publisher = { jwt_key = \"the secret of the second, thirty-two bytes\" }\n",
    );
    let error = setting.mint(&["--publish", "*"]).expect_err("two issuers");
    assert_eq!(
        error,
        "there are several issuers: choose one with --issuer (https://one.test, https://two.test)"
    );
    assert!(setting.mint(&["--publish", "*", "--issuer", "https://two.test"]).is_ok());
    let error =
        setting.mint(&["--publish", "*", "--issuer", "https://three.test"]).expect_err("no such issuer");
    assert!(error.contains("is not configured (there is https://one.test, https://two.test)"), "{error}");
    let error = setting.mint(&["--subscribe", "*"]).expect_err("no keys of subscribers");
    assert!(error.contains("has no key for subscribers"), "{error}");
}

#[test]
fn with_issuer_audience_and_key_no_configuration_is_read() {
    let setting = Setting::new("this is no configuration");
    let line =
        ["--publish", "*", "--issuer", "https://i.test", "--audience", "https://h.test/", "--key", SECRET];
    assert_eq!(setting.mint(&line).expect("a token").1, Vec::<String>::new());
    let error = setting.mint(&["--publish", "*", "--key", SECRET]).expect_err("no issuer");
    assert!(
        error.starts_with("the issuer (--issuer) is not given, and the configuration cannot be used:"),
        "{error}"
    );
}

#[test]
fn what_is_unwise_is_said_and_what_is_absurd_is_refused() {
    let setting = one_issuer();
    let warned =
        |line: &[&str]| setting.mint(&[&["--publish", "*", "--audience", "https://h.test/"], line].concat());
    let (_, warnings) = warned(&["--expires-in", "90d"]).expect("a token");
    assert_eq!(warnings, ["the token is valid for 90 days and cannot be revoked before"]);
    let (_, warnings) = warned(&["--key", "short"]).expect("a token");
    assert_eq!(warnings, ["the secret is shorter than the 32 bytes that HS256 should have"]);
    for line in [["--expires-in", "0"], ["--expires-in", "530w"], ["--payload", "[1]"], ["--alg", "none"]] {
        assert!(setting.parse(&[&["--publish", "*"], &line[..]].concat()).is_err(), "{line:?}");
    }
    assert!(setting.mint(&[]).expect_err("no grants").starts_with("the token would grant nothing"));
}

fn old_hub() -> Setting {
    Setting::new(&format!(
        "listen = [\"localhost:3000\"]\n[transport]\nurl = \"local://\"\n[auth]\npublisher_jwt_key = {SECRET:?}\n\
         subscriber_jwt_key = {SECRET:?}\n"
    ))
}

#[tokio::test]
async fn l03_a_token_of_version_0x_is_minted_and_checked_by_the_same_configuration() {
    let setting = old_hub();
    let line = ["--legacy", "--publish", "https://a.test/{id}", "b", "--subscribe", "*", "--subject", "ada"];
    let (token, warnings) = setting.mint(&line).expect("a token");
    assert_eq!(warnings, [""; 0]);
    let checked = setting.check(&token, &["--topic", "https://a.test/1"]).await;
    assert!(checked.accepted, "{}", checked.text);
    for expected in [
        "\"typ\": \"JWT\"",
        "\"mercure\": {",
        "Version: 0.x; for version 1.0 it lacks the header typ \"at+jwt\"; an iss that the hub trusts: \
         \"https://localhost\"; an aud that contains \"http://localhost:3000/.well-known/mercure\"; authorization_details",
        "✓ L03 claim mercure: 2 for publishing, 1 for subscribing",
        "It may publish on:\n  topic https://a.test/{id}\n  topic b\n",
        "✓ topic https://a.test/1: granted",
        "Accepted.",
    ] {
        assert!(checked.text.contains(expected), "{expected} is missing in\n{}", checked.text);
    }
    let checked = setting.check(&token, &["--role", "publisher", "--topic", "https://a.test/1/2"]).await;
    assert!(!checked.accepted && checked.text.contains("not granted"), "{}", checked.text);
    // What this configuration mints without the flag is of version 1.0, for the issuer that nobody has named.
    let (token, _) = setting.mint(&["--publish", "b"]).expect("a token");
    let checked = setting.check(&token, &[]).await;
    assert!(checked.accepted, "{}", checked.text);
    assert!(
        checked.text.contains("Version: 1.0; for version 0.x it lacks a claim mercure"),
        "{}",
        checked.text
    );
}

#[tokio::test]
async fn l03_a_hub_without_the_mode_refuses_it_with_a_code_of_its_own() {
    let setting = one_issuer();
    let (token, warnings) = setting.mint(&["--legacy", "--publish", "*"]).expect("a token");
    assert_eq!(
        warnings,
        [
            "the hub of this configuration does not read tokens of version 0.x: protocol_version_compatibility is off"
        ]
    );
    let checked = setting.check(&token, &[]).await;
    assert!(!checked.accepted);
    for expected in ["401 invalid_token, old_token", "protocol_version_compatibility 8", "Version: 0.x"] {
        assert!(checked.text.contains(expected), "{expected} is missing in\n{}", checked.text);
    }
}

#[test]
fn l03_a_token_of_version_0x_needs_no_configuration_where_a_key_is_given() {
    let setting = Setting::new("this is no configuration");
    let line = ["--legacy", "--publish", "*", "--publish-pattern", "/:x", "--key", SECRET];
    assert_eq!(
        setting.mint(&line).expect("a token").1,
        ["hubs of version 0.x do not know URL patterns: other hubs may refuse the token"]
    );
    assert!(setting.parse(&["--legacy", "--publish", "*", "--audience", "https://h.test/"]).is_err());
    let error = setting
        .mint(&["--legacy", "--publish", "a\u{0}", "--key", SECRET])
        .expect_err("a forbidden character");
    assert!(error.contains("cannot be granted"), "{error}");
}

#[tokio::test]
async fn l08_the_key_for_a_token_of_version_0x_is_one_that_no_issuer_has_or_an_issuers() {
    let keys = "protocol_version_compatibility = 8\n[transport]\nurl = \"local://\"\n[legacy]\n\
                publisher_jwt_key = \"an old secret of at least thirty-two bytes\"\n[[issuers]]\nid = \"https://one.test\"\n\
                publisher = { jwt_key = \"the secret of publishers, thirty-two bytes\" }\n\
                subscriber = { jwt_key = \"the secret of subscribers, thirty-two bytes\" }\n";
    let setting = Setting::new(keys);
    let by = |line: &[&str]| setting.mint(&[&["--legacy"], line].concat()).expect("a token").0;
    for (line, role, whose) in [
        (&["--publish", "*"][..], "publisher", "no issuer's"),
        (&["--subscribe", "*"], "subscriber", "an issuer's"),
        (&["--publish", "*", "--issuer", "https://one.test"], "publisher", "an issuer's"),
    ] {
        let checked = setting.check(&by(line), &["--role", role]).await;
        let signature = format!("✓ L08 signature: verified; the keys are {whose}: one key for HS256");
        assert!(checked.accepted && checked.text.contains(&signature), "{}", checked.text);
    }
    let error = setting.mint(&["--legacy", "--publish", "*", "--subscribe", "*"]).expect_err("two keys");
    assert!(error.contains("mint two tokens"), "{error}");
}
