//! Variables: unknown ones, empty ones, those of Kubernetes (decision 10).

use crate::support::keys;

#[test]
fn an_unknown_variable_of_ours_is_an_error_with_a_suggestion() {
    let given = keys()
        .variable("PETASOS_HEARTBEATS", "1s")
        .variable("PETASOS_HUB_WRITE_TIMEOUT", "1s")
        .variable("PETASOS_TLS_KEY_FILE", "/tls/key.pem")
        .variable("PETASOS_ZZZ", "1");
    insta::assert_snapshot!(given.errors(), @r"
    PETASOS_HEARTBEATS is not known; did you mean PETASOS_HEARTBEAT?
    PETASOS_HUB_WRITE_TIMEOUT is not known; did you mean PETASOS_WRITE_TIMEOUT?
    PETASOS_TLS_KEY_FILE is not known; PETASOS_TLS_KEY takes the value itself, and only secrets may be read from files
    PETASOS_ZZZ is not known; petasos check --print lists what there is
    ");
}

#[test]
fn what_kubernetes_injects_is_ignored() {
    let given = keys()
        .variable("PETASOS_PORT", "tcp://10.0.0.1:80")
        .variable("PETASOS_PORT_80_TCP_ADDR", "10.0.0.1")
        .variable("PETASOS_SERVICE_HOST", "10.0.0.1")
        .variable("PETASOS_SERVICE_PORT_HTTP", "80")
        .variable("PETASOS_ADMIN_SERVICE_HOST", "10.0.0.2")
        .variable("PETASOS_ADMIN_PORT", "tcp://10.0.0.2:2019");
    assert_eq!(given.notices(), "");
    let given =
        keys().variable("MERCURE_PORT", "tcp://10.0.0.1:80").variable("MERCURE_SERVICE_HOST", "10.0.0.1");
    insta::assert_snapshot!(given.notices(), @"note: ignored, as Kubernetes injects them for a Service named so: MERCURE_PORT, MERCURE_SERVICE_HOST");
}

#[test]
fn an_unknown_variable_of_the_image_is_a_warning() {
    let given = keys()
        .variable("MERCURE_PUBLISHER_JWT_KEYS", "x")
        .variable("MERCURE_URL", "http://hub/.well-known/mercure")
        .variable("CADDY_EXTRA_CONFIG", "x")
        .variable("GLOBAL_OPTIONS", "debug");
    insta::assert_snapshot!(given.notices(), @r"
    warning: CADDY_EXTRA_CONFIG is not known here and has no effect
    warning: GLOBAL_OPTIONS is not known here and has no effect
    warning: MERCURE_PUBLISHER_JWT_KEYS is not known here and has no effect; did you mean MERCURE_PUBLISHER_JWT_KEY?
    warning: MERCURE_URL is not known here and has no effect
    ");
}

#[test]
fn variables_of_the_client_commands_may_stand_beside_those_of_the_hub() {
    let given = keys().variable("PETASOS_TOKEN", "a.b.c").variable("PETASOS_URL", "http://hub");
    assert_eq!(given.notices(), "");
}

#[test]
fn other_variables_are_nobodys_business() {
    let given = keys().variable("PATH", "/bin").variable("MERCURY", "x").variable("petasos_listen", "x");
    assert_eq!(given.notices(), "");
}

#[test]
fn an_empty_variable_is_not_set() {
    let given = keys()
        .variable("SERVER_NAME", "")
        .variable("MERCURE_PUBLISHER_JWT_ALG", "")
        .variable("MERCURE_EXTRA_DIRECTIVES", " \n")
        .variable("PETASOS_CORS_ORIGINS", "")
        .variable("PETASOS_UNKNOWN", "");
    assert_eq!(given.notices(), "");
    assert_eq!(given.addresses(), [":80"]);
}
