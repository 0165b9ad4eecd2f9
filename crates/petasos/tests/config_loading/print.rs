//! `check --print`: every value in force, secrets redacted, and where each is from.

use petasos::config::report;

use crate::support::{SECRET, keys};

#[test]
fn every_value_has_its_source_and_secrets_are_redacted() {
    let given = keys()
        .toml("[hub]\nheartbeat = '15s'\n[[issuers]]\nid = 'https://b.example'\npublisher.jwks = 'https://u:p@b.example/jwks?x'")
        .variable("MERCURE_EXTRA_DIRECTIVES", "anonymous\ncors_origins https://a.example https://b.example")
        .variable("MERCURE_TRANSPORT_URL", "bolt:///srv/mercure.db?size=5")
        .variable("PETASOS_LOG_FORMAT", "json")
        .flag("listen", ":8080");
    let text = report::text(&given.load().entries);
    assert!(!text.contains(SECRET) && !text.contains("u:p"), "{text}");
    insta::assert_snapshot!(text, @r#"
    listen = ":8080"                                       # --listen
    public_urls = ""                                       # default
    resource_identifier = ""                               # default
    name = ""                                              # default
    dev = "false"                                          # default
    tls.cert = ""                                          # default
    tls.key = ""                                           # default
    auth.anonymous = "true"                                # MERCURE_EXTRA_DIRECTIVES, line 1: anonymous
    auth.anonymous_publish = "false"                       # default
    auth.issuer = "https://app.example.com"                # MERCURE_TRUSTED_ISSUERS
    auth.authorization_server = "false"                    # default
    auth.publisher_jwt_key = "[redacted]"                  # MERCURE_PUBLISHER_JWT_KEY
    auth.publisher_jwt_alg = "HS256"                       # default
    auth.publisher_jwks = ""                               # default
    auth.publisher_jwks_algs = ""                          # default
    auth.subscriber_jwt_key = "[redacted]"                 # MERCURE_SUBSCRIBER_JWT_KEY
    auth.subscriber_jwt_alg = "HS256"                      # default
    auth.subscriber_jwks = ""                              # default
    auth.subscriber_jwks_algs = ""                         # default
    protocol_version_compatibility = "off"                 # default
    legacy.publisher_jwt_key = ""                          # default
    legacy.publisher_jwt_alg = "HS256"                     # default
    legacy.publisher_jwks = ""                             # default
    legacy.publisher_jwks_algs = ""                        # default
    legacy.subscriber_jwt_key = ""                         # default
    legacy.subscriber_jwt_alg = "HS256"                    # default
    legacy.subscriber_jwks = ""                            # default
    legacy.subscriber_jwks_algs = ""                       # default
    auth.cookie_name = "__Secure-mercure_access_token"     # default
    auth.publish_origins = ""                              # default
    cors.origins = "https://a.example, https://b.example"  # MERCURE_EXTRA_DIRECTIVES, line 2: cors_origins
    transport.url = "sqlite:///srv/mercure.db.sqlite"      # MERCURE_TRANSPORT_URL
    transport.sync = "full"                                # default
    transport.bucket = "updates"                           # default
    history.size = "5"                                     # MERCURE_TRANSPORT_URL, parameter size
    history.max_bytes = "1GiB"                             # default
    history.max_age = "0s"                                 # default
    hub.subscriptions = "false"                            # default
    hub.heartbeat = "15s"                                  # petasos.toml:2
    hub.write_timeout = "600s"                             # default
    hub.dispatch_timeout = "5s"                            # default
    hub.backlog = "1MiB"                                   # default
    hub.backlog_total = "256MiB"                           # default
    hub.event_loops = "0"                                  # default
    hub.recent = "32MiB"                                   # default
    hub.fanout_lag = "512KiB"                              # default
    hub.publish_wait = "10s"                               # default
    hub.lease = "15s"                                      # default
    limits.body = "1MiB"                                   # default
    limits.target = "60KiB"                                # default
    limits.matchers = "1000"                               # default
    limits.matcher_length = "8KiB"                         # default
    limits.topics = "1000"                                 # default
    limits.field_length = "8KiB"                           # default
    limits.streams = "0"                                   # default
    limits.streams_per_address = "0"                       # default
    limits.streams_per_subject = "0"                       # default
    limits.connections = "0"                               # default
    server.trusted_proxies = ""                            # default
    server.head_timeout = "10s"                            # default
    server.idle_timeout = "75s"                            # default
    server.peer_timeout = "30s"                            # default
    server.drain_timeout = "10s"                           # default
    server.shutdown_delay = "0s"                           # default
    server.reuse_port = "false"                            # default
    server.send_buffer = "64KiB"                           # default
    admin.address = "127.0.0.1:2019"                       # default
    log.format = "json"                                    # PETASOS_LOG_FORMAT
    log.filter = "info"                                    # default
    issuers[0].id = "https://b.example"                    # petasos.toml:3
    issuers[0].authorization_server = "false"              # petasos.toml:3
    issuers[0].publisher = "jwks https://b.example/jwks"   # petasos.toml:3
    "#);
}
