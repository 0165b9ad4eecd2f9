//! Passwords, users with few rights, TLS.

use std::path::Path;

use petasos_hub::transport::{ErrorKind, Position, Transport};
use petasos_testkit::{
    process::{free_address, scratch, text},
    servers::{EngineServer, redis::RedisServer},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::{append, config, follow_until, kept_ids, open, try_open};

/// As in docs/redis.md: what a hub needs, and nothing else.
const RIGHTS: &str = "~{petasos}:* resetchannels +@connection +@read +@write +@scripting -@dangerous +info +time +wait \
                      +config|get +cluster|slots +cluster|keyslot +cluster|myid";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_needs_a_password_and_few_rights() {
    let server = RedisServer::start_at(free_address(), &["--user", "default", "--pass", "hunter1"], |_| {
        let mut arguments = vec!["--requirepass".to_owned(), "hunter1".to_owned(), "--user".to_owned()];
        arguments.push("hub".to_owned());
        arguments.extend(["on", ">hunter2"].map(str::to_owned));
        arguments.extend(RIGHTS.split_whitespace().map(str::to_owned));
        arguments
    });
    let address = server.address();
    for url in [
        format!("redis://{address}"),
        format!("redis://:hunter3@{address}"),
        format!("redis://hub:hunter3@{address}"),
    ] {
        let refused = try_open(&url).await.expect_err("a wrong password");
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
        let text = refused.to_string();
        assert!(text.contains("password") && !text.contains("hunter"), "{text}");
    }
    for url in [format!("redis://:hunter1@{address}/1"), format!("redis://hub:hunter2@{address}")] {
        let log = open(&url).await;
        let mut tail = log.tail(Position::START);
        append(&log, "a").await;
        follow_until(&mut *tail, "a").await;
        assert_eq!(kept_ids(&log).await, ["a"]);
        assert!(!log.info().location.contains("hunter"));
        log.close().await;
    }
    let refused = try_open(&format!("redis://hub:hunter2@{address}?prefix=other")).await;
    let refused = refused.expect_err("keys of another prefix");
    assert!(refused.to_string().contains("docs/redis.md"), "{refused}");
}

/// A certificate authority, and what it signed for servers and clients at 127.0.0.1.
fn certificates(directory: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority");
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    std::fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_verified_both_ways() {
    let directory = scratch();
    certificates(directory.path());
    let file = |name: &str| text(&directory.path().join(name)).to_owned();
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let login = ["--tls", "--cacert", &ca, "--cert", &cert, "--key", &key];
    let address = free_address();
    let _server = RedisServer::start_at(address, &login, |_| {
        let port = address.port().to_string();
        let (cert, key) = (file("server.pem"), file("server.key"));
        [
            "--port",
            "0",
            "--tls-port",
            &port,
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
        ]
        .map(str::to_owned)
        .to_vec()
    });
    let whole = format!("rediss://{address}?ca={ca}&cert={cert}&key={key}");
    let log = open(&whole).await;
    let mut tail = log.tail(Position::START);
    append(&log, "a").await;
    follow_until(&mut *tail, "a").await;
    log.close().await;
    for (url, what) in [
        (format!("rediss://{address}?cert={cert}&key={key}"), "an authority that nobody here trusts"),
        (format!("rediss://{address}?ca={ca}"), "a client without a certificate"),
        (format!("redis://{address}"), "no TLS"),
    ] {
        let refused = try_open(&url).await.err();
        assert!(refused.is_some(), "{what}");
    }
    // By another name it is another server.
    let refused = try_open(&whole.replace("127.0.0.1", "localhost")).await.expect_err("another name");
    assert!(refused.to_string().contains("localhost"), "{refused}");
    assert!(config("rediss://h?ca=/nowhere", Default::default()).is_err());
}
