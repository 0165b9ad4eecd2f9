//! The configuration file: where it is found, and what is said about its keys.

use std::time::Duration;

use crate::support::{keys, nothing};

#[test]
fn the_first_of_the_usual_places_is_read() {
    let heartbeat = |seconds: u64| format!("[hub]\nheartbeat = '{seconds}s'");
    let given = keys().file("/etc/petasos/petasos.toml", &heartbeat(1));
    assert_eq!(given.config().hub.heartbeat, Duration::from_secs(1));
    let given = given.file("petasos.toml", &heartbeat(2));
    assert_eq!(given.config().hub.heartbeat, Duration::from_secs(2));
    let given = given.variable("PETASOS_CONFIG", "/named.toml").file("/named.toml", &heartbeat(3));
    assert_eq!(given.config().hub.heartbeat, Duration::from_secs(3));
    let given = given.config_flag("/flag.toml").file("/flag.toml", &heartbeat(4));
    assert_eq!(given.config().hub.heartbeat, Duration::from_secs(4));
}

#[test]
fn a_file_that_is_named_must_be_there() {
    insta::assert_snapshot!(keys().config_flag("/nowhere.toml").errors(), @"--config: /nowhere.toml cannot be read: entity not found");
    insta::assert_snapshot!(keys().variable("PETASOS_CONFIG", "/nowhere.toml").errors(), @"PETASOS_CONFIG: /nowhere.toml cannot be read: entity not found");
}

#[test]
fn a_whole_file_is_enough() {
    let given = nothing().file("/run/publisher", "a-secret-of-more-than-thirty-two-bytes\n").toml(
        r#"
        listen = [":80", "localhost:8080"]
        public_urls = ["https://hub.example.com"]
        name = "main"

        [auth]
        anonymous = true
        issuer = "https://app.example.com"
        publisher_jwt_key_file = "/run/publisher"
        publish_origins = ["https://app.example.com"]

        [cors]
        origins = ["https://app.example.com", "https://*.example.org"]

        [transport]
        url = "sqlite:///var/lib/petasos/petasos.db"
        sync = "normal"

        [history]
        size = 50_000
        max_age = "7d"

        [hub]
        subscriptions = true
        heartbeat = "15s"

        [limits]
        body = "64KiB"
        connections = 0x10

        [server]
        trusted_proxies = ["10.0.0.0/8", "::1"]
        drain_timeout = 0

        [admin]
        address = "off"

        [log]
        format = "json"
        filter = "info,petasos_hub=debug"
        "#,
    );
    let config = given.config();
    assert_eq!(given.addresses(), [":80", "localhost:8080"]);
    assert_eq!(config.http.public_urls[0].as_str(), "https://hub.example.com/");
    assert_eq!(config.auth.issuers.len(), 1);
    assert_eq!(given.store().retention.events, 50_000);
    assert_eq!(config.http.limits.body_bytes, 64 << 10);
    assert_eq!(config.server.connections, 16);
    assert_eq!(config.http.trusted_proxies.len(), 2);
    assert!(config.server.drain_timeout.is_zero());
    assert_eq!(config.admin_address, None);
    assert_eq!(config.log.format, petasos::config::LogFormat::Json);
    assert_eq!(given.notices(), "");
}

#[test]
fn unknown_keys_and_wrong_types_are_told_with_their_lines() {
    let given = keys().toml(
        r#"heartbeat = "1s"
anonymos = true
listen = { port = 80 }
hub = 5
colour = "red"

[hubb]
x = 1

[auth]
anonymous = "perhaps"
anonymous_file = "/x"
publisher_jwt_key_file = 5

[hub.deeper]
x = 1

[history]
size = [1]
max_age = 5
max_bytes = 1979-05-27

[limits]
body = 1.5

[[issuers]]
authorization_server = "yes"
colour = "red"
publisher = 5
subscriber = { jwt = "x" }
"#,
    );
    insta::assert_snapshot!(given.errors(), @r#"
    petasos.toml:15: cannot extend value of type integer with a dotted key
    petasos.toml:1: heartbeat is not known; did you mean hub.heartbeat?
    petasos.toml:2: anonymos is not known; did you mean auth.anonymous?
    petasos.toml:3: listen must be a list, not a table
    petasos.toml:4: hub is a table: write [hub]
    petasos.toml:5: colour is not known
    petasos.toml:7: hubb is not known; did you mean hub?
    petasos.toml:12: auth.anonymous_file is not known; did you mean auth.anonymous?
    petasos.toml:13: auth.publisher_jwt_key_file must be the path of a file
    petasos.toml:19: history.size must be a number, not a list
    petasos.toml:21: history.max_bytes must be a size, not a date
    petasos.toml:28: issuers: colour is not known; it may have id, authorization_server, publisher or subscriber
    petasos.toml:26: an issuer needs an id: the iss of its tokens
    petasos.toml:27: authorization_server is true or false
    petasos.toml:29: publisher is a table, not a number
    petasos.toml:30: subscriber: jwt is not known; it may have jwt_key, jwt_key_file, jwt_alg, jwks or jwks_algs
    petasos.toml:30: subscriber needs jwt_key, jwt_key_file or jwks
    petasos.toml:11: "perhaps" is neither true nor false
    petasos.toml:20: "5" is no duration: write it like 500ms, 40s, 1m30s, 2d or 0s
    "#);
}

#[test]
fn a_key_and_its_file_exclude_one_another() {
    let given = keys().toml("[transport]\nurl = 'local://'\nurl_file = '/x'").file("/x", "local://");
    insta::assert_snapshot!(given.errors(), @"petasos.toml:3: transport.url is given as transport.url_file as well");
}

#[test]
fn broken_toml_is_told_beside_what_else_is_wrong() {
    let given = keys().toml("[hub\nheartbeat = \n[log]\nformat = 'xml'\n");
    insta::assert_snapshot!(given.errors(), @r#"
    petasos.toml:1: unclosed table, expected `]`
    petasos.toml:4: "xml" is not possible here: write text or json
    "#);
}
