//! TLS: which protocol is chosen, how connections end, and certificates that change.

mod serve_support;

use std::{path::Path, sync::Arc, time::Duration};

use petasos::config::{Config, TlsFiles};
use petasos_testkit::{Connection, HUB_PATH, TestHub, patiently};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serve_support::{config, start};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Writes a new certificate and its key, and returns the certificate.
fn write_certificate(directory: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    // The key first: so the pair does not fit until both are written, whoever looks.
    std::fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).expect("written");
    std::fs::write(directory.join("tls.crt"), made.cert.pem()).expect("written");
    made.cert.pem()
}

fn with_tls(directory: &Path) -> (Config, String) {
    let certificate = write_certificate(directory);
    let files = TlsFiles { certificate: directory.join("tls.crt"), key: directory.join("tls.key") };
    (Config { tls: Some(files), ..config() }, certificate)
}

/// Connects as somebody who trusts only `certificate`.
async fn connect(
    hub: &TestHub,
    certificate: &str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let socket = TcpStream::connect(hub.address()).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    patiently("the handshake", TlsConnector::from(Arc::new(config)).connect(name, socket)).await
}

#[tokio::test]
async fn http1_is_spoken_where_the_client_does_not_ask_for_more_and_ends_with_a_notice() {
    let directory = tempfile::tempdir().expect("a directory");
    let (config, certificate) = with_tls(directory.path());
    let hub = start(config);
    for protocols in [&["http/1.1"][..], &[]] {
        let mut stream = connect(&hub, &certificate, protocols).await.expect("TLS");
        let path = "/.well-known/oauth-protected-resource/.well-known/mercure";
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        // An end without close_notify is an error here.
        patiently("the end", stream.read_to_string(&mut answer)).await.expect("a clean end");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.contains(&format!("https://localhost{HUB_PATH}")),
            "d02: the scheme is known: {answer}"
        );
    }
}

#[tokio::test]
async fn http2_is_spoken_where_the_client_knows_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let (config, certificate) = with_tls(directory.path());
    let hub = start(config);
    let stream = connect(&hub, &certificate, &["http/1.1", "h2"]).await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = http::Request::get("https://localhost/healthz").body(()).expect("a request");
    let (answer, _) = sender.send_request(request, true).expect("sent");
    assert_eq!(patiently("an answer", answer).await.expect("an answer").status(), 200);
    drop(sender);
    patiently("the end", connection).await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn certificates_that_change_are_used_for_new_connections_and_old_ones_go_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let (config, old) = with_tls(directory.path());
    let hub = start(config);
    let mut before = connect(&hub, &old, &[]).await.expect("TLS");
    let new = write_certificate(directory.path());
    patiently("the reload", async {
        while connect(&hub, &new, &[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(connect(&hub, &old, &[]).await.is_err(), "the old one is not used any more");
    before.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut status = [0; 12];
    before.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200");
}

#[tokio::test]
async fn handshakes_that_do_not_come_to_their_end_are_given_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut config, certificate) = with_tls(directory.path());
    config.server.head_timeout = Duration::from_millis(300);
    let hub = start(config);
    // The beginning of a handshake record, nothing at all, and something else.
    for bytes in [&b"\x16\x03\x01\x02\x00\x01"[..], b"", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut connection = Connection::open(hub.address()).await;
        connection.send(bytes).await;
        connection.closed().await;
    }
    // A client that chose HTTP/2 and then says nothing.
    let mut stream = connect(&hub, &certificate, &["h2"]).await.expect("TLS");
    let mut rest = Vec::new();
    let _ = patiently("the end", stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_hub_without_a_usable_certificate_does_not_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let (config, _) = with_tls(directory.path());
    std::fs::write(directory.path().join("tls.key"), "no key").expect("written");
    let ended = petasos::serve::serve(config, Vec::new(), None, std::future::pending()).await;
    let error = ended.expect_err("no key").to_string();
    assert!(error.contains("tls.key") && error.contains("no private key"), "{error}");
}
