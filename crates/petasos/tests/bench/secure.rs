//! TLS, and tokens that the bench mints for somebody else's hub.

use petasos_testkit::{
    hub::ISSUER,
    process::{HubProcess, ProcessOptions, free_address, scratch},
};

use crate::support::{PROGRAM, bench, median};

const SECRET: &str = "a secret that is long enough for anybody";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_behind_tls_is_driven_with_minted_tokens() {
    let directory = scratch();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (key, certificate) = (directory.path().join("tls.key"), directory.path().join("tls.crt"));
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    let (address, admin) = (free_address(), free_address());
    let environment = [
        ("PETASOS_LISTEN", address.to_string()),
        ("PETASOS_ADMIN_ADDRESS", admin.to_string()),
        ("PETASOS_TRANSPORT_URL", "local://".to_owned()),
        ("PETASOS_ISSUER", ISSUER.to_owned()),
        ("PETASOS_PUBLISHER_JWT_KEY", SECRET.to_owned()),
        ("PETASOS_SUBSCRIBER_JWT_KEY", SECRET.to_owned()),
        ("PETASOS_TLS_CERT", certificate.display().to_string()),
        ("PETASOS_TLS_KEY", key.display().to_string()),
    ];
    // Readiness is asked for at the admin listener, which speaks plain HTTP.
    let hub = HubProcess::start(&ProcessOptions {
        program: PROGRAM.into(),
        arguments: vec!["serve".to_owned()],
        environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        directory: directory.path().to_owned(),
        address,
        admin,
    })
    .await;
    // What a URL may carry of a token is sent, and no part of the audience or of a report (L05).
    let url = format!("https://localhost:{}/.well-known/mercure?authorization=hush", address.port());
    let (trusted, pid) = (certificate.display().to_string(), hub.pid().to_string());
    let run = move || {
        bench(&[
            "fanout",
            "--url",
            &url,
            "--cacert",
            &trusted,
            "--key",
            SECRET,
            "--issuer",
            ISSUER,
            "--private",
            "--pid",
            &pid,
            "-s",
            "10",
            "-p",
            "2",
            "-r",
            "100",
            "--size",
            "20000",
            "--duration",
            "500ms",
            "--warmup",
            "100ms",
            "--json",
            "r.json",
            "-q",
        ])
    };
    let bench = tokio::task::spawn_blocking(run).await.expect("it ends").done();
    let result = bench.result();
    let rate = median(&result, "hub", "deliveries_per_second");
    assert!((500.0..1_500.0).contains(&rate), "{rate} instead of 1,000");
    assert!(median(&result, "hub", "cpu_per_delivery_us") > 0.0);
    for secret in [SECRET, "hush"] {
        assert!(!bench.stdout().contains(secret) && !bench.file("r.json").contains(secret), "{secret}");
    }
    hub.kill().await;
}
