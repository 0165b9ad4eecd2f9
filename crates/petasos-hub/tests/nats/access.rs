//! Ways to log in, TLS, domains, and servers without JetStream.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use petasos_hub::transport::nats::examine;
use petasos_testkit::{
    process::{scratch, text},
    servers::EngineServer,
};
use serde_json::{Value, json};

use super::*;

/// A server on which only some may log in.
fn guarded(configuration: &str) -> NatsServer {
    let mut options = NatsOptions::of(NatsVersion::Current);
    options.configuration += configuration;
    options.connect = None;
    NatsServer::start_with(options)
}

/// A server that listens may still be making JetStream ready.
async fn open_at_last(url: &str) -> Arc<NatsTransport> {
    patiently("an open log", async {
        loop {
            match try_open(url).await {
                Ok(log) => return Arc::new(log),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await
}

async fn assert_refused(url: &str) {
    let error = try_open(url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let text = error.to_string();
    assert!(text.contains("credentials") && !text.contains("hunter2"), "{text}");
}

fn url(server: &NatsServer, login: &str, parameters: &str) -> String {
    format!("nats://{login}{}?stream=access{parameters}", server.address())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_logs_in_with_a_password() {
    let server = guarded("authorization { users: [{ user: me, password: \"s@cret\" }] }\n");
    let log = open_at_last(&url(&server, "me:s%40cret@", "")).await;
    append(&log, "a").await;
    assert_refused(&url(&server, "me:hunter2@", "")).await;
    assert_refused(&url(&server, "", "")).await;
}

/// Those that `docs/nats.md` names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_permissions_in_the_documentation_are_enough() {
    let page = include_str!("../../../../docs/nats.md");
    let (_, rest) = page.split_once("  permissions {").unwrap();
    let permissions = rest.split_once("```").unwrap().0.replace("petasos", "access");
    let server = guarded(&format!(
        "authorization {{ users: [{{ user: hub, password: pass, permissions {{{permissions} }}] }}\n"
    ));
    let url = url(&server, "hub:pass@", "");
    let log = open_at_last(&url).await;
    let node = petasos_hub::transport::NodeId::random();
    log.renew(node, Duration::from_secs(1)).await.unwrap();
    append(&log, "a").await;
    let mut tail = log.tail(Position::START);
    assert_eq!(follow_until(&mut *tail, "a").await, ["a"]);
    assert_eq!(ids(&read_all(&log).await), ["a"]);
    assert_eq!(log.find("a").await.unwrap(), Some(Position(1)));
    assert_eq!(log.presence(&Default::default()).await.unwrap().subscriptions, []);
    assert_eq!(log.expired(1).await.unwrap(), []);
    assert_eq!(log.discard(Position(1)).await.unwrap(), 1);
    examine(&config(&url, None)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_logs_in() {
    let server = guarded("authorization { token: \"s3cret\" }\n");
    let log = open_at_last(&url(&server, "s3cret@", "")).await;
    append(&log, "a").await;
    let log = open_at_last(&url(&server, "", "&token=s3cret")).await;
    append(&log, "b").await;
    assert_refused(&url(&server, "", "&token=hunter2")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_logs_in_from_a_file() {
    let (known, stranger) = (KeyPair::new_user(), KeyPair::new_user());
    let server = guarded(&format!("authorization {{ users: [{{ nkey: {} }}] }}\n", known.public_key()));
    let directory = scratch();
    let file = |name: &str, key: &KeyPair| {
        let path = directory.path().join(name);
        std::fs::write(&path, format!("{}\n", key.seed().unwrap())).unwrap();
        text(&path).to_owned()
    };
    let log = open_at_last(&url(&server, "", &format!("&nkey={}", file("known", &known)))).await;
    append(&log, "a").await;
    assert_refused(&url(&server, "", &format!("&nkey={}", file("stranger", &stranger)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_an_account_log_in_from_a_file() {
    let (operator, system) = (KeyPair::new_operator(), KeyPair::new_account());
    let (account, other) = (KeyPair::new_account(), KeyPair::new_account());
    let operator_jwt = jwt(
        &operator,
        &operator,
        json!({ "type": "operator", "version": 2, "system_account": system.public_key() }),
    );
    let limits = |storage: i64| {
        json!({
            "type": "account", "version": 2, "default_permissions": { "pub": {}, "sub": {} },
            "limits": {
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                "conn": -1, "leaf": -1, "mem_storage": storage, "disk_storage": storage,
                "streams": storage, "consumer": storage,
            },
        })
    };
    let server = guarded(&format!(
        "operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload {{ {}: {}, {}: {} }}\n",
        system.public_key(),
        jwt(&operator, &system, limits(0)),
        account.public_key(),
        jwt(&operator, &account, limits(-1)),
    ));
    let directory = scratch();
    let file = |name: &str, account: &KeyPair| {
        let user = KeyPair::new_user();
        let claims = json!({
            "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
        });
        let path = directory.path().join(name);
        let credentials = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            jwt(account, &user, claims),
            user.seed().unwrap(),
        );
        std::fs::write(&path, credentials).unwrap();
        format!("&credentials={}", text(&path))
    };
    let log = open_at_last(&url(&server, "", &file("known.creds", &account))).await;
    append(&log, "a").await;
    assert_refused(&url(&server, "", &file("stranger.creds", &other))).await;
}

/// A JSON Web Token in the form of NATS.
fn jwt(issuer: &KeyPair, subject: &KeyPair, claims: Value) -> String {
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let body = json!({
        "jti": "test", "iat": 1_700_000_000, "name": "test",
        "iss": issuer.public_key(), "sub": subject.public_key(), "nats": claims,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&body));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_a_certificate_of_the_client() {
    let directory = scratch();
    let path = |name: &str| text(&directory.path().join(name)).to_owned();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority =
        rcgen::CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate().unwrap()).unwrap();
    std::fs::write(path("ca.pem"), authority.pem()).unwrap();
    for name in ["server", "client"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(path(&format!("{name}.pem")), params.signed_by(&key, &authority).unwrap().pem())
            .unwrap();
        std::fs::write(path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    let server = guarded(&format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n",
        path("server.pem"),
        path("server.key"),
        path("ca.pem")
    ));
    let address = server.address();
    let ours = format!("ca={}&cert={}&key={}", path("ca.pem"), path("client.pem"), path("client.key"));
    let log = open_at_last(&format!("tls://{address}?{ours}")).await;
    append(&log, "a").await;
    let mut tail = log.tail(Position::START);
    assert_eq!(follow_until(&mut *tail, "a").await, ["a"]);
    for wrong in [format!("ca={}", path("ca.pem")), format!("ca={}", path("client.pem"))] {
        let error = try_open(&format!("tls://{address}?{wrong}")).await.unwrap_err();
        assert!(error.to_string().contains("cannot be reached"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_jetstream_is_told_how_to_have_it() {
    for version in [NatsVersion::Debian, NatsVersion::Current] {
        let mut options = NatsOptions::of(version);
        options.jetstream = None;
        options.connect = None;
        let server = NatsServer::start_with(options);
        let url = server.url("none");
        let errors = [try_open(&url).await.unwrap_err(), examine(&config(&url, None)).await.unwrap_err()];
        for error in errors {
            assert!(error.to_string().contains("-js"), "{version:?}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_is_asked_by_its_name() {
    let mut options = NatsOptions::of(NatsVersion::Current);
    options.jetstream = Some("max_file_store: 100TB, domain: hub".to_owned());
    let server = NatsServer::start_with(options);
    let log = open(&format!("{}&domain=hub", server.url("domain"))).await;
    append(&log, "a").await;
    let mut tail = log.tail(Position::START);
    assert_eq!(follow_until(&mut *tail, "a").await, ["a"]);
    let error = try_open(&format!("{}&domain=other", server.url("domain"))).await.unwrap_err();
    assert!(error.to_string().contains("domain"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_told_with_the_place() {
    let address = petasos_testkit::process::free_address();
    let error = try_open(&format!("nats://me:hunter2@{address}")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && !text.contains("hunter2"), "{text}");
}
