//! Addresses: `SERVER_NAME` by decision 13, and our own.

use crate::support::{Given, keys};

fn named(server_name: &str) -> Given {
    keys().variable("SERVER_NAME", server_name)
}

fn with_tls(given: Given) -> Given {
    given
        .variable("PETASOS_TLS_CERT", "/tls/cert.pem")
        .variable("PETASOS_TLS_KEY", "/tls/key.pem")
        .file("/tls/cert.pem", "")
        .file("/tls/key.pem", "")
}

#[test]
fn every_port_of_server_name_is_bound_and_names_select_nothing() {
    for (name, ports) in [
        (":80", &[":80"][..]),
        (":8080", &[":8080"]),
        ("http://localhost", &[":80"]),
        ("http://hub.example.com/", &[":80"]),
        ("http://hub.example.com:3000", &[":3000"]),
        ("hub.example.com:80", &[":80"]),
        ("127.0.0.1:80", &[":80"]),
        ("http://[::1]:8080", &[":8080"]),
        (":80, http://php:8080 :80", &[":80", ":8080"]),
        ("http://*.example.com", &[":80"]),
    ] {
        assert_eq!(named(name).addresses(), ports, "{name}");
        assert_eq!(named(name).notices(), "", "{name}");
    }
}

#[test]
fn a_name_that_means_automatic_https_is_plain_http_with_a_warning() {
    for (name, ports) in [
        ("localhost", &[":80"][..]),
        ("hub.example.com", &[":80"]),
        ("https://hub.example.com", &[":80"]),
        ("https://hub.example.com:8443", &[":8443"]),
        ("localhost:3000", &[":3000"]),
        ("localhost, php:80", &[":80"]),
        (":443", &[":443"]),
    ] {
        assert_eq!(named(name).addresses(), ports, "{name}");
        let notices = named(name).notices();
        assert_eq!(notices.matches("warning: SERVER_NAME: ").count(), 1, "{name}: {notices}");
        assert!(notices.contains("PETASOS_TLS_CERT"), "{notices}");
    }
    insta::assert_snapshot!(
        named("hub.example.com").notices(),
        @"warning: SERVER_NAME: hub.example.com would mean automatic HTTPS, which Petasos cannot do yet: it speaks plain HTTP on port 80. Set PETASOS_TLS_CERT and PETASOS_TLS_KEY for HTTPS, or write http://hub.example.com if a proxy does it"
    );
}

#[test]
fn with_certificates_names_mean_the_port_of_https() {
    for (name, ports) in [
        ("hub.example.com", &[":443"][..]),
        ("https://hub.example.com", &[":443"]),
        ("https://hub.example.com:8443, b.example.com", &[":8443", ":443"]),
        (":8443", &[":8443"]),
    ] {
        assert_eq!(with_tls(named(name)).addresses(), ports, "{name}");
        assert_eq!(with_tls(named(name)).notices(), "", "{name}");
    }
    assert!(with_tls(keys()).notices().contains("TLS is spoken on port 80"));
    assert!(with_tls(named("http://hub.example.com")).errors().contains("asks for plain HTTP"));
}

#[test]
fn tls_needs_both_files_and_they_must_be_there() {
    let errors = keys().variable("PETASOS_TLS_CERT", "/tls/cert.pem").errors();
    insta::assert_snapshot!(errors, @r"
    PETASOS_TLS_CERT: /tls/cert.pem is no file
    PETASOS_TLS_CERT: TLS needs both files: PETASOS_TLS_KEY (tls.key) is missing
    ");
    let errors = keys().toml("[tls]\nkey = '/tls/key.pem'").file("/tls/key.pem", "").errors();
    insta::assert_snapshot!(errors, @"petasos.toml:2: TLS needs both files: PETASOS_TLS_CERT (tls.cert) is missing");
}

#[test]
fn what_is_no_site_address_is_refused() {
    for name in ["ftp://a", "a/path", "a:b", "a:70000", "a:1:2", "[::1", "[x]:80", "a b{c}", "http://user@a"]
    {
        let errors = named(name).errors();
        assert!(errors.contains("SERVER_NAME: "), "{name}: {errors}");
    }
}

#[test]
fn our_own_addresses_are_hosts_and_ports() {
    for (address, expected) in [
        (":8080", ":8080"),
        ("8080", ":8080"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("localhost:3000", "localhost:3000"),
        ("[::1]:3000", "[::1]:3000"),
    ] {
        assert_eq!(keys().variable("PETASOS_LISTEN", address).addresses(), [expected]);
    }
    assert_eq!(keys().toml("listen = [':80', 'localhost:81']").addresses(), [":80", "localhost:81"]);
    for address in ["localhost", "http://localhost:80", "::1:80", "a:b", "-1"] {
        assert!(
            keys().variable("PETASOS_LISTEN", address).errors().contains("PETASOS_LISTEN: "),
            "{address}"
        );
    }
}

#[test]
fn the_admin_listener_can_be_moved_and_turned_off() {
    let admin = |value: &str| keys().variable("MERCURE_ADMIN_ADDRESS", value).config().admin_address;
    assert_eq!(admin(":2019").as_deref(), Some(":2019"));
    assert_eq!(admin("0.0.0.0:9090").as_deref(), Some("0.0.0.0:9090"));
    assert_eq!(admin("off"), None);
    assert!(keys().variable("MERCURE_ADMIN_ADDRESS", "nowhere").errors().contains("MERCURE_ADMIN_ADDRESS"));
}
