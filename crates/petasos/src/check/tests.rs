//! What `petasos check` finds, on real files.

use std::{fs, path::Path};

use petasos_hub::{
    auth::{AuthConfig, Compatibility, IssuerConfig, JwksLocation, KeySource},
    transport::{
        Retention,
        sqlite::{BoltSource, SqliteConfig, Sync},
    },
};

use super::{DONE, FAILED, Findings, MISCONFIGURED, keys, store, tls};
use crate::config::TlsFiles;

fn store_at(path: &Path) -> SqliteConfig {
    SqliteConfig { path: path.to_owned(), sync: Sync::Full, retention: Retention::default(), bolt: None }
}

fn found(store: &SqliteConfig) -> Findings {
    let mut findings = Findings::default();
    store::examine(store, &mut findings);
    findings
}

#[test]
fn a_store_that_could_be_created_is_fine_and_is_not_created() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("petasos.db");
    let findings = found(&store_at(&path));
    assert_eq!((findings.exit_code(), findings.fine.len()), (DONE, 1), "{findings:?}");
    assert!(findings.fine[0].ends_with("to be created"));
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[test]
fn a_store_whose_place_is_not_there_is_a_failure() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = found(&store_at(&directory.path().join("missing/petasos.db")));
    assert_eq!(missing.exit_code(), FAILED);
    assert!(missing.failures[0].contains("does not exist"), "{missing:?}");
    let path = directory.path().join("petasos.db");
    fs::create_dir(&path).expect("a directory");
    assert!(found(&store_at(&path)).failures[0].contains("no regular file"));
}

#[test]
fn the_history_to_take_over_is_looked_at() {
    let directory = tempfile::tempdir().expect("a directory");
    let bolt = directory.path().join("mercure.db");
    let mut store = store_at(&directory.path().join("mercure.db.sqlite"));
    store.bolt = Some(BoltSource { path: bolt.clone(), bucket: "updates".into() });
    assert!(found(&store).fine.iter().any(|line| line.starts_with("no history to take over")));
    fs::write(&bolt, "x").expect("a file");
    assert!(found(&store).fine.iter().any(|line| line.starts_with("the history to take over")));
}

#[test]
fn certificate_and_key_must_be_readable_and_fit() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("a file");
        path
    };
    let made = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    let (one, other) = (made("a.example"), made("b.example"));
    let certificate = write("cert.pem", &one.cert.pem());
    let key = write("key.pem", &one.signing_key.serialize_pem());
    let other_key = write("other.pem", &other.signing_key.serialize_pem());
    let empty = write("empty.pem", "");
    let garbage = write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let missing = directory.path().join("missing.pem");
    let examine = |certificate: &Path, key: &Path| {
        tls::examine(&TlsFiles { certificate: certificate.to_owned(), key: key.to_owned() })
    };
    assert!(examine(&certificate, &key).is_ok_and(|line| line.contains("1 in its chain")));
    for (certificate, key, expected) in [
        (&certificate, &other_key, "do not fit"),
        (&certificate, &empty, "no private key"),
        (&certificate, &missing, "cannot be read"),
        (&missing, &key, "cannot be read"),
        (&empty, &key, "no certificate"),
        (&garbage, &key, "do not fit"),
    ] {
        let error = examine(certificate, key).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_key_set_in_a_file_must_be_sound() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("jwks.json");
    let config = AuthConfig {
        issuers: vec![IssuerConfig {
            id: "https://id.example.com".into(),
            authorization_server: false,
            publisher: Some(KeySource::Jwks {
                location: JwksLocation::File(path.clone()),
                algorithms: Vec::new(),
            }),
            subscriber: None,
        }],
        ..AuthConfig::default()
    };
    let exit_code = || {
        let mut findings = Findings::default();
        keys::examine(&config, &mut findings);
        findings.exit_code()
    };
    assert_eq!(exit_code(), MISCONFIGURED);
    fs::write(&path, "{").expect("a file");
    assert_eq!(exit_code(), MISCONFIGURED);
    let x = "GAb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZs";
    let set = format!(r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "{x}"}}]}}"#);
    fs::write(&path, set).expect("a file");
    assert_eq!(exit_code(), DONE);
}

#[test]
fn l08_a_key_set_that_no_issuer_has_must_be_sound_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("jwks.json");
    let keys = KeySource::Jwks { location: JwksLocation::File(path.clone()), algorithms: Vec::new() };
    let compatibility = Compatibility { publisher: None, subscriber: Some(keys) };
    let config = AuthConfig { compatibility: Some(compatibility), ..AuthConfig::default() };
    let exit_code = || {
        let mut findings = Findings::default();
        keys::examine(&config, &mut findings);
        findings.exit_code()
    };
    assert_eq!(exit_code(), MISCONFIGURED);
    fs::write(&path, r#"{"keys": []}"#).expect("a file");
    assert_eq!(exit_code(), DONE);
}

#[test]
fn the_flags_of_the_command_are_well_formed() {
    use clap::Args;
    let command = super::Args::augment_args(clap::Command::new("check"));
    command.clone().debug_assert();
    let help = command.clone().render_help().to_string();
    assert!(help.contains("--listen") && !help.contains("--fanout-lag"), "{help}");
    assert!(command.clone().render_long_help().to_string().contains("--fanout-lag"));
    assert!(command.clone().try_get_matches_from(["check", "--print", "--format", "json", "--dev"]).is_ok());
    assert!(command.try_get_matches_from(["check", "--format", "json"]).is_err());
}
