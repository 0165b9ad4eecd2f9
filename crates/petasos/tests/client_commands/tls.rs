//! Encrypted connections: which certificates are trusted, and which protocol is chosen.

use std::{io::Write, sync::Arc};

use petasos::client::{exit::Exit, publish::pipeline::End, target::TargetArgs};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::{
    publish::{Recorder, joined, numbered, options_for, publish},
    server::{FakeHub, Reply, Speaks},
};

/// A server for `localhost`, and a file with its certificate.
fn acceptor(protocols: &[&str]) -> (TlsAcceptor, tempfile::NamedTempFile) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(certified.cert.pem().as_bytes()).expect("written");
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .expect("a key pair");
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_is_negotiated_where_the_server_has_it() {
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], http::Version::HTTP_2),
        (&["http/1.1"], http::Version::HTTP_11),
        (&[], http::Version::HTTP_11),
    ] {
        let (acceptor, file) = acceptor(protocols);
        let hub = FakeHub::start(Speaks::Tls(acceptor), |_| Reply::Store).await;
        let trusting = TargetArgs {
            url: Some(hub.url()),
            cacert: Some(file.path().to_owned()),
            ..TargetArgs::default()
        };
        let lines = numbered(100);
        let summary =
            publish(&options_for(trusting), joined(&lines).as_slice(), &mut Recorder::default()).await;
        assert_eq!(summary.exit(), Exit::Done);
        assert_eq!(hub.data_without_doubles(), lines);
        assert_eq!((hub.log()[0].version, hub.connections()), (version, 1));
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_no_reason_to_try_again() {
    let (acceptor, _) = acceptor(&["h2"]);
    let hub = FakeHub::start(Speaks::Tls(acceptor), |_| Reply::Store).await;
    let doubting = TargetArgs { url: Some(hub.url()), ..TargetArgs::default() };
    let summary = publish(&options_for(doubting), &b"a\n"[..], &mut Recorder::default()).await;
    assert!(matches!(&summary.end, End::GaveUp(why) if why.contains("is not trusted")), "{:?}", summary.end);
    assert_eq!(hub.connections(), 1);
    let careless = TargetArgs { url: Some(hub.url()), insecure: true, ..TargetArgs::default() };
    let summary = publish(&options_for(careless), &b"a\n"[..], &mut Recorder::default()).await;
    assert_eq!(summary.exit(), Exit::Done);
}
