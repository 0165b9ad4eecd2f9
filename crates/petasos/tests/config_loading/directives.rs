//! Every directive of the reference hub: what it sets, or what is said about it.

use std::time::Duration;

use petasos::config::Config;

use crate::support::{directives, keys};

#[test]
fn every_directive_sets_what_it_says() {
    type IsSet = fn(&Config) -> bool;
    let cases: [(&str, IsSet); 17] = [
        ("anonymous", |config| config.auth.anonymous),
        ("subscriptions", |config| config.hub.subscriptions),
        ("cors_origins https://a.example https://*.b.example", |config| {
            !config.http.cors_origins.is_empty() && !config.http.cors_origins.is_any()
        }),
        ("cors_origins *", |config| config.http.cors_origins.is_any()),
        ("publish_origins https://a.example", |config| !config.http.publish_origins.is_empty()),
        ("cookie_name token", |config| config.http.cookie_name == "token"),
        ("heartbeat 15s", |config| config.hub.heartbeat == Duration::from_secs(15)),
        ("heartbeat 0s", |config| config.hub.heartbeat.is_zero()),
        ("write_timeout 1m30s", |config| config.hub.write_timeout == Duration::from_secs(90)),
        ("dispatch_timeout 0", |config| config.hub.dispatch_timeout.is_zero()),
        ("max_request_body_size 512KB", |config| config.http.limits.body_bytes == 512_000),
        ("max_request_body_size 0", |config| config.http.limits.body_bytes == 0),
        ("public_urls https://a.example https://b.example", |config| config.http.public_urls.len() == 2),
        ("resource_identifier https://a.example/.well-known/mercure", |config| {
            let expected = "https://a.example/.well-known/mercure";
            config.http.resource_identifier.as_ref().is_some_and(|url| url.as_str() == expected)
        }),
        ("name main", |config| config.name.as_deref() == Some("main")),
        ("drain_timeout 3s", |config| config.server.drain_timeout == Duration::from_secs(3)),
        ("drain_timeout 0s", |config| config.server.drain_timeout == Duration::from_secs(10)),
    ];
    for (text, is_set) in cases {
        assert!(is_set(&directives(text).config()), "{text}");
        assert_eq!(directives(text).notices(), "", "{text}");
    }
}

#[test]
fn directives_without_effect_are_told_in_one_line() {
    let given = directives(
        "topic_matcher_cache 1000\ntopic_selector_cache 1000 16\nsubscriber_list_cache_size 0\ncleanup_frequency 0.3",
    );
    insta::assert_snapshot!(given.notices(), @"note: MERCURE_EXTRA_DIRECTIVES: topic_matcher_cache, topic_selector_cache, subscriber_list_cache_size, cleanup_frequency: accepted without effect, there is nothing to tune here");
}

#[test]
fn pages_that_do_not_exist_yet_are_warned_of_and_relax_nothing() {
    for name in ["debugger", "playground", "ui", "demo"] {
        let given = directives(name);
        let expected = format!(
            "warning: MERCURE_EXTRA_DIRECTIVES, line 1: {name}: accepted, but this page is not part of Petasos yet; nothing \
             is relaxed for it"
        );
        assert_eq!(given.notices(), expected);
        assert!(!given.config().auth.anonymous && given.config().http.cors_origins.is_empty());
    }
}

#[test]
fn the_last_of_two_lines_wins_and_is_told() {
    let given = directives("heartbeat 1s\nheartbeat 2s");
    assert_eq!(given.config().hub.heartbeat, Duration::from_secs(2));
    insta::assert_snapshot!(given.notices(), @"note: MERCURE_EXTRA_DIRECTIVES, line 1: heartbeat is overridden by MERCURE_EXTRA_DIRECTIVES, line 2: heartbeat (hub.heartbeat)");
}

#[test]
fn directives_may_stand_in_a_file() {
    let given = keys().variable("MERCURE_EXTRA_DIRECTIVES_FILE", "/etc/hub").file("/etc/hub", "anonymous\n");
    assert!(given.config().auth.anonymous);
}

#[test]
fn placeholders_stand_for_variables_and_files() {
    let given = directives("name {env.HUB}\nheartbeat {$BEAT:7s}\ncookie_name {file./run/cookie}")
        .variable("HUB", "north")
        .file("/run/cookie", "token\n");
    let config = given.config();
    assert_eq!(config.name.as_deref(), Some("north"));
    assert_eq!(config.hub.heartbeat, Duration::from_secs(7));
    assert_eq!(config.http.cookie_name, "token");
}

#[test]
fn what_is_wrong_with_a_directive_is_told_with_its_line() {
    let text = "\
anonymus
cors_allowed_origins https://a.example
reverse_proxy localhost:8080
anonymous yes
heartbeat
heartbeat 1s 2s
heartbeat soon
cors_origins
cors_origins a.example https://b.example https://c.example/
max_request_body_size big
name {env.NOT_SET}
cookie_name \"a b\"
public_urls ftp://a.example
subscriptions {
  x
}
transport
transport bolt {
  path
  colour red
  sice 5
}
transport sqlite {
  url sqlite:///x
  size 5
}
issuer
issuer a b
issuer c {
  colour
  authorization_server now
}
issuer d {
  publisher
  subscriber x {
    jwt
    jwks_url https://a.example
  }
}
issuer e {
  publisher {
    jwt a
    jwks_uri https://a.example
  }
  subscriber {
    jwt a HS255
  }
  subscriber {
    jwt a
  }
}
}
name `x";
    insta::assert_snapshot!(directives(text).errors(), @r#"
    MERCURE_EXTRA_DIRECTIVES, line 53: the quote ` is never closed
    MERCURE_EXTRA_DIRECTIVES, line 52: there is no { for this }
    MERCURE_EXTRA_DIRECTIVES, line 1: unknown directive anonymus; did you mean anonymous?
    MERCURE_EXTRA_DIRECTIVES, line 2: unknown directive cors_allowed_origins; did you mean cors_origins?
    MERCURE_EXTRA_DIRECTIVES, line 3: unknown directive reverse_proxy
    MERCURE_EXTRA_DIRECTIVES, line 4: anonymous: it takes no argument
    MERCURE_EXTRA_DIRECTIVES, line 5: heartbeat: an argument is missing: heartbeat DURATION
    MERCURE_EXTRA_DIRECTIVES, line 6: heartbeat: one argument is expected: heartbeat DURATION
    MERCURE_EXTRA_DIRECTIVES, line 8: cors_origins: an argument is missing: cors_origins ORIGIN…
    MERCURE_EXTRA_DIRECTIVES, line 11: name: an argument is missing (env.NOT_SET is not set): name NAME
    MERCURE_EXTRA_DIRECTIVES, line 14: subscriptions: it has no block
    MERCURE_EXTRA_DIRECTIVES, line 17: transport: an argument is missing: transport NAME { … }
    MERCURE_EXTRA_DIRECTIVES, line 19: path: an argument is missing: path with one value
    MERCURE_EXTRA_DIRECTIVES, line 24: url: a url stands alone: it says everything
    MERCURE_EXTRA_DIRECTIVES, line 27: issuer: an argument is missing: issuer ID { … }
    MERCURE_EXTRA_DIRECTIVES, line 28: issuer: one id is expected: repeat the directive for several issuers
    MERCURE_EXTRA_DIRECTIVES, line 30: colour: not known within issuer; issuer may have authorization_server, publisher or subscriber
    MERCURE_EXTRA_DIRECTIVES, line 31: authorization_server: it takes no argument
    MERCURE_EXTRA_DIRECTIVES, line 29: issuer: an issuer needs keys: publisher { … }, subscriber { … }, or both
    MERCURE_EXTRA_DIRECTIVES, line 34: publisher: keys are missing: write jwt KEY or jwks_uri URL in its block
    MERCURE_EXTRA_DIRECTIVES, line 35: subscriber: it takes no argument but a block with jwt or jwks_uri
    MERCURE_EXTRA_DIRECTIVES, line 37: jwks_url: not known within subscriber; did you mean jwks_uri?
    MERCURE_EXTRA_DIRECTIVES, line 36: jwt: an argument is missing: jwt with a key or a URL
    MERCURE_EXTRA_DIRECTIVES, line 41: publisher: jwt and jwks_uri exclude one another, and each stands once
    MERCURE_EXTRA_DIRECTIVES, line 46: jwt: "HS255" is no signature algorithm of this hub; did you mean HS256?
    MERCURE_EXTRA_DIRECTIVES, line 53: name: an argument is missing: name NAME
    MERCURE_EXTRA_DIRECTIVES, line 7: heartbeat: "soon" is no duration: write it like 500ms, 40s, 1m30s, 2d or 0s
    MERCURE_EXTRA_DIRECTIVES, line 9: cors_origins: "a.example" is not an origin: it must be scheme://host[:port] without a path, https://*.example.com, or *
    MERCURE_EXTRA_DIRECTIVES, line 9: cors_origins: "https://c.example/" is not an origin: it must be scheme://host[:port] without a path, https://*.example.com, or *
    MERCURE_EXTRA_DIRECTIVES, line 12: cookie_name: "a b" cannot be the name of a cookie
    MERCURE_EXTRA_DIRECTIVES, line 13: public_urls: a URL with http or https is expected, without user, password and fragment
    MERCURE_EXTRA_DIRECTIVES, line 10: max_request_body_size: "big" is no size: write it like 512KB, 64KiB, 1MiB, or as a number of bytes
    "#);
}
