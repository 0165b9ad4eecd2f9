//! The log: URLs, the `transport` directive, and the defaults of decision 12.

use std::{path::PathBuf, time::Duration};

use petasos::config::TransportConfig;
use petasos_hub::transport::sqlite::{BoltSource, Sync};

use crate::support::{Given, directives, keys};

fn url(url: &str) -> Given {
    keys().variable("MERCURE_TRANSPORT_URL", url)
}

fn bolt(path: &str, bucket: &str) -> Option<BoltSource> {
    Some(BoltSource { path: PathBuf::from(path), bucket: bucket.to_owned() })
}

#[test]
fn without_a_path_the_store_is_on_the_volume_if_there_is_one() {
    for given in [
        keys(),
        url("sqlite://"),
        url("bolt://"),
        directives("transport bolt"),
        directives("transport sqlite {\n}"),
    ] {
        let store = given.store();
        assert_eq!((store.path, store.bolt), (PathBuf::from("petasos.db"), None));
        let store = given.clone().writable("/data").store();
        assert_eq!((store.path, store.bolt), (PathBuf::from("/data/petasos.db"), None));
        let store = given.clone().writable("/data").file("/data/caddy/mercure.db", "").store();
        assert_eq!(
            (store.path, store.bolt),
            (PathBuf::from("/data/petasos.db"), bolt("/data/caddy/mercure.db", "updates"))
        );
        let both = given.writable("/data").file("/data/caddy/mercure.db", "").file("/data/mercure.db", "");
        assert_eq!(both.store().bolt, bolt("/data/mercure.db", "updates"));
    }
}

#[test]
fn a_store_is_made_beside_a_bolt_file_and_takes_it_over() {
    for (given, path) in [
        (url("bolt:///var/run/mercure.db"), "/var/run/mercure.db"),
        (url("bolt://mercure.db"), "mercure.db"),
        (directives("transport bolt {\n path /var/run/mercure.db\n}"), "/var/run/mercure.db"),
        (directives("transport_url bolt:///srv/a%20b.db"), "/srv/a b.db"),
        (directives("transport bolt {\n path \"/srv/a%20b?.db\"\n}"), "/srv/a%20b?.db"),
    ] {
        // The volume of the image and what lies on it have nothing to do with a path that is given.
        let store = given.writable("/data").file("/data/mercure.db", "").store();
        assert_eq!(store.path, PathBuf::from(format!("{path}.sqlite")));
        assert_eq!(store.bolt, bolt(path, "updates"));
    }
}

#[test]
fn a_path_of_sqlite_is_taken_as_it_is() {
    for (given, path) in [
        (url("sqlite:///data/hub.db"), "/data/hub.db"),
        (url("sqlite://hub.db"), "hub.db"),
        (keys().toml("[transport]\nurl = 'sqlite:///data/hub.db'"), "/data/hub.db"),
        (keys().flag("transport.url", "sqlite:///data/hub.db"), "/data/hub.db"),
        (directives("transport sqlite {\n path /data/hub.db\n}"), "/data/hub.db"),
    ] {
        let store = given.file("/data/mercure.db", "").store();
        assert_eq!((store.path, store.bolt), (PathBuf::from(path), None));
    }
}

#[test]
fn parameters_of_the_url_set_options() {
    let given = url("sqlite:///x.db?size=10&max_age=1h30m&max_bytes=5MiB&sync=normal&subscriptions=1");
    let store = given.store();
    assert_eq!(store.retention.events, 10);
    assert_eq!(store.retention.bytes, 5 << 20);
    assert_eq!(store.retention.age, Some(Duration::from_secs(5_400)));
    assert_eq!(store.sync, Sync::Normal);
    assert!(given.config().hub.subscriptions);

    let given = url("bolt:///x.db?size=10&cleanup_frequency=0.3&bucket_name=old&subscriptions=1");
    assert_eq!(given.store().retention.events, 10);
    assert_eq!(given.store().bolt, bolt("/x.db", "old"));
    assert!(given.config().hub.subscriptions);
    insta::assert_snapshot!(given.notices(), @r"
    note: MERCURE_TRANSPORT_URL: cleanup_frequency: accepted without effect, retention here is exact
    note: the history is kept in /x.db.sqlite; that of /x.db is taken over, and the file never written
    ");
    assert!(url("local://local?subscriptions=1").config().hub.subscriptions);
}

#[test]
fn options_of_the_block_are_those_of_the_url() {
    let block = "path /x.db\n size 10\n cleanup_frequency 0.3\n bucket_name \"old & new=+%20\"";
    let given = directives(&format!("transport bolt {{\n {block}\n}}"));
    assert_eq!(given.store().retention.events, 10);
    assert_eq!(given.store().bolt, bolt("/x.db", "old & new=+%20"));
    let given = directives("transport sqlite {\n max_age 2d\n max_bytes 1GB\n sync normal\n}");
    assert_eq!(given.store().retention.age, Some(Duration::from_secs(172_800)));
    assert_eq!(given.store().retention.bytes, 1_000_000_000);
    assert_eq!(given.store().sync, Sync::Normal);
    assert!(matches!(directives("transport local").config().transport, TransportConfig::Local));
    assert!(matches!(
        directives("transport local {\n url local://\n}").config().transport,
        TransportConfig::Local
    ));
}

#[test]
fn the_directive_beats_the_variable() {
    let given = directives("transport local").variable("MERCURE_TRANSPORT_URL", "sqlite:///x.db");
    assert!(matches!(given.config().transport, TransportConfig::Local));
    insta::assert_snapshot!(given.notices(), @"note: MERCURE_TRANSPORT_URL is overridden by MERCURE_EXTRA_DIRECTIVES, line 1: transport (transport.url)");
}

#[test]
fn an_option_by_name_beats_the_query_of_its_layer_and_loses_to_that_of_a_later_one() {
    let file = "[transport]\nurl = 'sqlite:///x.db?size=1'\n[history]\nsize = 2";
    assert_eq!(keys().toml(file).store().retention.events, 2);
    assert_eq!(
        keys().toml(file).variable("MERCURE_TRANSPORT_URL", "sqlite:///x.db?size=3").store().retention.events,
        3
    );
    // The query of a URL that is not in force says nothing.
    let later = keys()
        .toml("[transport]\nurl = 'sqlite:///x.db?size=1'")
        .variable("PETASOS_TRANSPORT_URL", "sqlite:///y.db");
    assert_eq!(later.store().retention.events, 1_000_000);
}

#[test]
fn an_explicit_zero_is_no_bound_and_warned_of() {
    let given = keys().variable("PETASOS_HISTORY_SIZE", "0");
    assert_eq!((given.store().retention.events, given.store().retention.bytes), (0, 1 << 30));
    insta::assert_snapshot!(given.notices(), @"warning: PETASOS_HISTORY_SIZE: the history has no bound in events");
    let given = keys().toml("[history]\nsize = 0\nmax_bytes = 0");
    assert_eq!((given.store().retention.events, given.store().retention.bytes), (0, 0));
    insta::assert_snapshot!(given.notices(), @r"
    warning: petasos.toml:2: the history has no bound in events
    warning: petasos.toml:3: the history has no bound in bytes
    warning: nothing bounds the history but the size of its disk
    ");
    // For the reference hub a size of 0 keeps everything; so it does here, unless a bound in bytes is set.
    let given = directives("transport bolt {\n path /x.db\n size 0\n}");
    assert_eq!((given.store().retention.events, given.store().retention.bytes), (0, 0));
    assert_eq!(given.printed("history.max_bytes").0, "0");
    let bounded = given.variable("PETASOS_HISTORY_MAX_BYTES", "1GiB");
    assert_eq!((bounded.store().retention.events, bounded.store().retention.bytes), (0, 1 << 30));
}

#[test]
fn retention_without_history_is_warned_of() {
    let given = url("local://").variable("PETASOS_HISTORY_SIZE", "5");
    insta::assert_snapshot!(given.notices(), @"warning: PETASOS_HISTORY_SIZE: history.size has no effect, local:// keeps no history");
}

#[test]
fn other_engines_are_refused_and_credentials_never_shown() {
    for engine in ["kafka", "pulsar"] {
        let expected =
            format!("the engine {engine} is not part of this build: there are local, sqlite, bolt");
        let errors = url(&format!("{engine}://user:hunter2@host:1/x?password=hunter2")).errors();
        assert!(errors.starts_with(&format!("MERCURE_TRANSPORT_URL: {expected}")), "{errors}");
        let errors = directives(&format!("transport {engine} {{\n address hunter2\n}}")).errors();
        let place = "MERCURE_EXTRA_DIRECTIVES, line 1: transport";
        assert!(errors.starts_with(&format!("{place}: {expected}")), "{errors}");
    }
}

#[test]
fn a_nats_url_is_taken_apart_and_checked() {
    for scheme in ["nats", "tls"] {
        let given = url(&format!("{scheme}://me:hunter2@one,two:7?stream=x&size=10&max_age=1h&replicas=3"));
        let TransportConfig::Remote(remote) = given.config().transport else { panic!("no log on a server") };
        let retention = remote.retention.expect("what is kept");
        assert_eq!((retention.events, retention.age), (10, Some(Duration::from_secs(3_600))));
        assert_eq!(given.printed("transport.url").0, format!("{scheme}://one:4222,two:7"));
        let wrong = url(&format!("{scheme}://me:hunter2@one/hubs")).errors();
        assert!(wrong.contains("has no path") && !wrong.contains("hunter2"), "{wrong}");
        let unknown = url(&format!("{scheme}://me:hunter2@one?straem=hunter2")).errors();
        assert!(unknown.contains("did you mean stream?") && !unknown.contains("hunter2"), "{unknown}");
    }
}

#[test]
fn a_postgres_url_is_taken_apart_and_checked() {
    for scheme in ["postgres", "postgresql"] {
        let given =
            url(&format!("{scheme}://me:hunter2@one,two:7/hubs?schema=x&size=10&max_age=1h&sslmode=require"));
        let TransportConfig::Remote(remote) = given.config().transport else { panic!("no log on a server") };
        let retention = remote.retention.expect("what is kept");
        assert_eq!((retention.events, retention.age), (10, Some(Duration::from_secs(3_600))));
        assert_eq!(given.printed("transport.url").0, format!("{scheme}://one:5432,two:7/hubs"));
        let wrong = url(&format!("{scheme}://me:hunter2@one/hubs?sslmode=hunter2")).errors();
        assert!(wrong.contains("verify-full") && !wrong.contains("hunter2"), "{wrong}");
        let unknown = url(&format!("{scheme}://me:hunter2@one?shema=hunter2")).errors();
        assert!(unknown.contains("did you mean schema?") && !unknown.contains("hunter2"), "{unknown}");
    }
}

#[test]
fn a_redis_url_is_taken_apart_and_checked() {
    for scheme in ["redis", "rediss", "valkey", "valkeys"] {
        let given = url(&format!("{scheme}://me:hunter2@one,two:7?prefix=x&size=10&max_age=1h&replicas=1"));
        let TransportConfig::Remote(remote) = given.config().transport else { panic!("no log on a server") };
        let retention = remote.retention.expect("what is kept");
        assert_eq!((retention.events, retention.age), (10, Some(Duration::from_secs(3_600))));
        assert_eq!(given.printed("transport.url").0, format!("{scheme}://one:6379,two:7"));
        let wrong = url(&format!("{scheme}://me:hunter2@one/hubs")).errors();
        assert!(wrong.contains("number of a database") && !wrong.contains("hunter2"), "{wrong}");
        let unknown = url(&format!("{scheme}://me:hunter2@one?prefx=hunter2")).errors();
        assert!(unknown.contains("did you mean prefix?") && !unknown.contains("hunter2"), "{unknown}");
    }
    let given = url("redis://one").variable("PETASOS_TRANSPORT_SYNC", "normal");
    assert!(given.notices().contains("transport.sync has no effect"), "{}", given.notices());
}

#[test]
fn what_is_wrong_in_a_url_is_told() {
    let told: Vec<String> = [
        "/data/x.db",
        "sqlit:///x.db",
        "sqlite:///data/",
        "sqlite:///x.db?sise=1",
        "sqlite:///x.db?colour=1",
        "bolt:///x.db?size=many",
        "bolt:///x.db?size=1&max_age=2&subscriptions=x",
        "sqlite:///x.db?sync=sometimes",
        "local://?size=1",
    ]
    .into_iter()
    .map(|text| format!("{text}\n{}", url(text).errors()))
    .collect();
    insta::assert_snapshot!(told.join("\n\n"), @r#"
    /data/x.db
    MERCURE_TRANSPORT_URL: this is no URL: write local://, sqlite:///path/petasos.db or bolt:///path/mercure.db

    sqlit:///x.db
    MERCURE_TRANSPORT_URL: unknown engine sqlit; did you mean sqlite?

    sqlite:///data/
    MERCURE_TRANSPORT_URL: the path names a directory, not a file

    sqlite:///x.db?sise=1
    MERCURE_TRANSPORT_URL: sqlite:// has no parameter sise; did you mean size?

    sqlite:///x.db?colour=1
    MERCURE_TRANSPORT_URL: sqlite:// has no parameter colour; it may have size, max_age, max_bytes, sync or subscriptions

    bolt:///x.db?size=many
    MERCURE_TRANSPORT_URL, parameter size: "many" is no number: digits are expected

    bolt:///x.db?size=1&max_age=2&subscriptions=x
    MERCURE_TRANSPORT_URL, parameter max_age: "2" is no duration: write it like 500ms, 40s, 1m30s, 2d or 0s
    MERCURE_TRANSPORT_URL, parameter subscriptions: "x" is neither true nor false

    sqlite:///x.db?sync=sometimes
    MERCURE_TRANSPORT_URL, parameter sync: "sometimes" is not possible here: write full or normal

    local://?size=1
    MERCURE_TRANSPORT_URL: local:// has no parameter size; it may have subscriptions
    "#);
}
