//! All errors at once, whatever layer they are in.

use crate::support::nothing;

#[test]
fn all_errors_are_told_at_once_each_with_its_source() {
    let given = nothing()
        .toml("listen = ':99999'\n\n[hub]\nheartbeet = '40s'\nlease = '0s'\n[limits]\ntarget = '1MiB'\nmatchers = 0")
        .variable("MERCURE_EXTRA_DIRECTIVES", "write_timeout forever\nprotocol_version_compatibility 9")
        .variable("MERCURE_TRANSPORT_URL", "redis://:hunter2@redis:70000")
        .variable("MERCURE_PUBLISHER_JWT_KEY", "x")
        .variable("PETASOS_LOG_FORMAT", "xml")
        .variable("PETASOS_LOG_FILTER", "a=b=c")
        .variable("PETASOS_NAME", "a/b")
        .variable("PETASOS_TRUSTED_PROXIES", "10.0.0.0/8 proxy private")
        .variable("PETASOS_RESOURCE_IDENTIFIER", "urn:x")
        .variable("PETASOS_HEARTBEET", "1s")
        .flag("hub.backlog", "0")
        .flag("hub.subscriptions", "maybe");
    insta::assert_snapshot!(given.errors(), @r#"
    petasos.toml:4: hub.heartbeet is not known; did you mean hub.heartbeat?
    PETASOS_HEARTBEET is not known; did you mean PETASOS_HEARTBEAT?
    MERCURE_TRANSPORT_URL: a port is no number below 65536; in a user name or password, write : as %3A, @ as %40 and / as %2F
    petasos.toml:1: "99999" is no port: 0 to 65535
    MERCURE_EXTRA_DIRECTIVES, line 2: protocol_version_compatibility: "9" is not possible here: write off, 7 or 8
    MERCURE_EXTRA_DIRECTIVES, line 1: write_timeout: "forever" is no duration: write it like 500ms, 40s, 1m30s, 2d or 0s
    --subscriptions: "maybe" is neither true nor false
    --backlog: hub.backlog cannot be 0
    petasos.toml:5: hub.lease must be at least 1s
    PETASOS_RESOURCE_IDENTIFIER: a URL with http or https is expected, without user, password and fragment
    PETASOS_TRUSTED_PROXIES: "proxy" is neither an address nor a network: write 10.0.0.0/8, or private
    petasos.toml:7: limits.target must be between 1 byte and 60KiB
    petasos.toml:8: limits.matchers cannot be 0
    PETASOS_LOG_FORMAT: "xml" is not possible here: write text or json
    PETASOS_LOG_FILTER: "a=b=c" is no filter: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5
    PETASOS_NAME: "a/b" may only have letters, digits, -, ., _ and ~
    "#);
}
