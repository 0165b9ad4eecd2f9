//! Decision 9: which layer wins, and that a value of one family overridden by the other is told.

use std::time::Duration;

use petasos_hub::{HubConfig, http::HttpLimits, transport::Retention};

use crate::support::{keys, nothing};

#[test]
fn the_later_layer_wins() {
    let given = keys();
    assert_eq!(given.config().hub.heartbeat, Duration::from_secs(40));
    let given = given.toml("[hub]\nheartbeat = \"1s\"");
    assert_eq!(given.config().hub.heartbeat, Duration::from_secs(1));
    let given = given.variable("MERCURE_EXTRA_DIRECTIVES", "heartbeat 2s");
    assert_eq!(given.config().hub.heartbeat, Duration::from_secs(2));
    let given = given.variable("PETASOS_HEARTBEAT", "3s");
    assert_eq!(given.config().hub.heartbeat, Duration::from_secs(3));
    let given = given.flag("hub.heartbeat", "4s");
    assert_eq!(given.config().hub.heartbeat, Duration::from_secs(4));
}

#[test]
fn a_value_overridden_across_families_is_told_in_one_line() {
    let given = keys().variable("MERCURE_ADMIN_ADDRESS", ":2020").variable("PETASOS_ADMIN_ADDRESS", ":2021");
    insta::assert_snapshot!(
        given.notices(),
        @"note: MERCURE_ADMIN_ADDRESS is overridden by PETASOS_ADMIN_ADDRESS (admin.address)"
    );
    let given =
        keys().toml("\n[hub]\nheartbeat = \"1s\"").variable("MERCURE_EXTRA_DIRECTIVES", "\nheartbeat 2s");
    insta::assert_snapshot!(
        given.notices(),
        @"note: petasos.toml:3 is overridden by MERCURE_EXTRA_DIRECTIVES, line 2: heartbeat (hub.heartbeat)"
    );
}

#[test]
fn layers_of_one_family_are_used_without_a_word() {
    let given = keys()
        .toml("[hub]\nheartbeat = \"1s\"")
        .variable("PETASOS_HEARTBEAT", "2s")
        .flag("hub.heartbeat", "3s");
    assert_eq!(given.notices(), "");
    // Nor is there anything to tell where both families say the same.
    let given = keys().variable("MERCURE_ADMIN_ADDRESS", ":2020").variable("PETASOS_ADMIN_ADDRESS", ":2020");
    assert_eq!(given.notices(), "");
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_types() {
    let config = keys().config();
    let (hub, defaults) = (config.hub, HubConfig::default());
    assert_eq!(format!("{hub:?}"), format!("{defaults:?}"));
    assert_eq!(format!("{:?}", config.http.limits), format!("{:?}", HttpLimits::default()));
    assert_eq!(keys().store().retention, Retention::default());
    assert_eq!(format!("{:?}", config.server), format!("{:?}", petasos::config::ServerConfig::default()));
    assert_eq!(config.http.cookie_name, "__Secure-mercure_access_token");
    assert_eq!(config.admin_address.as_deref(), Some("127.0.0.1:2019"));
    assert_eq!(keys().addresses(), [":80"]);
    assert!(config.tls.is_none() && config.dev.is_none() && config.name.is_none());
}

#[test]
fn demo_mode_lies_beneath_everything_that_is_configured() {
    let dev = nothing().flag("dev", "true");
    let config = dev.config();
    assert_eq!(dev.addresses(), ["localhost:3000"]);
    assert_eq!(dev.store().path.to_str(), Some("petasos.db"));
    assert!(config.auth.anonymous && config.hub.subscriptions && config.http.cors_origins.is_any());
    let demo = config.dev.expect("demo mode");
    assert_eq!(config.auth.issuers.len(), 1);
    assert_eq!(config.auth.issuers[0].id, demo.issuer);
    assert!(demo.secret.expose().len() >= 32);
    // Beside a volume, too, the history of a demo is in the working directory, and no other history is taken over.
    let beside_volume = dev.clone().writable("/data").file("/data/mercure.db", "");
    assert_eq!(beside_volume.store().path.to_str(), Some("petasos.db"));
    assert_eq!(beside_volume.store().bolt, None);

    let given = dev
        .toml("listen = '127.0.0.1:4000'\n[auth]\nanonymous = false")
        .variable("PETASOS_CORS_ORIGINS", "https://a.example");
    assert_eq!(given.addresses(), ["127.0.0.1:4000"]);
    assert!(!given.config().auth.anonymous && !given.config().http.cors_origins.is_any());
}

#[test]
fn demo_mode_never_listens_where_others_can_connect() {
    for address in [":3000", "0.0.0.0:3000", "[::]:3000", "192.168.1.2:3000", "example.com:3000", "3000"] {
        let errors = nothing().flag("dev", "true").flag("listen", address).errors();
        assert!(errors.contains("loopback addresses only"), "{address}: {errors}");
    }
    for address in ["127.0.0.1:3000", "127.1.2.3:3000", "[::1]:3000", "LOCALHOST:3000"] {
        assert_eq!(nothing().flag("dev", "true").flag("listen", address).addresses(), [address]);
    }
    // A name of the drop-in environment selects no interface.
    let errors = nothing().flag("dev", "true").variable("SERVER_NAME", "localhost:3000").errors();
    assert!(errors.starts_with("SERVER_NAME: --dev"), "{errors}");
}

#[test]
fn keys_of_ones_own_go_beside_those_of_the_demo() {
    let config = keys().flag("dev", "true").config();
    assert_eq!(config.auth.issuers.len(), 2);
}
