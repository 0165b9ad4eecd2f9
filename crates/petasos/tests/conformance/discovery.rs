//! D01 and D02: what the hub says about itself, and which names it answers to.

use petasos_hub::auth::{AuthConfig, IssuerConfig};
use petasos_testkit::{
    DETAIL_TYPE, HUB_PATH, Protocol, SUBSCRIPTIONS, Token,
    hub::{ISSUER, SUBSCRIBER_SECRET},
    keys::SigningKey,
    topic,
};
use serde_json::json;

use crate::{
    common::Engine,
    support::{COOKIE, bare_get, bare_post},
};

/// RFC 9728: the well-known path goes before the path of the resource.
const METADATA: &str = "/.well-known/oauth-protected-resource/.well-known/mercure";

pub(crate) async fn d01_the_metadata_describes_the_resource(engine: Engine) {
    let hub = engine.hub().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let answer = hub.get(METADATA).over(protocol).send().await.expect(200);
        assert_eq!(answer.required("content-type").split(';').next(), Some("application/json"));
        let metadata = answer.json();
        assert_eq!(metadata["resource"], hub.url());
        assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
        assert_eq!(metadata["authorization_details_types_supported"], json!([DETAIL_TYPE]));
        assert!(metadata["mercure_cookie"].to_string().contains(COOKIE), "{metadata}");
        assert_eq!(metadata.get("authorization_servers"), None, "none was to be advertised");
        assert!(metadata.get("mercure_subscriptions").is_none_or(|value| value == false), "{metadata}");
    }
}

pub(crate) async fn d01_the_metadata_follows_the_configuration(engine: Engine) {
    let hub = engine
        .hub_with(|config| {
            config.hub.subscriptions = true;
            config.http.cookie_name = "mine".into();
            let first = config.auth.issuers[0].clone();
            let advertised =
                |id: &str| IssuerConfig { id: id.into(), authorization_server: true, ..first.clone() };
            config.auth.issuers.push(advertised("https://one.example"));
            config.auth.issuers.push(advertised("https://two.example/path"));
        })
        .await;
    let metadata = hub.get(METADATA).send().await.expect(200).json();
    assert_eq!(metadata["mercure_subscriptions"], true);
    assert_eq!(metadata["authorization_servers"], json!(["https://one.example", "https://two.example/path"]));
    assert!(metadata["mercure_cookie"].to_string().contains("mine"), "{metadata}");
}

pub(crate) async fn d01_a_hub_that_checks_no_tokens_has_no_metadata(engine: Engine) {
    let open = AuthConfig { anonymous: true, anonymous_publish: true, ..AuthConfig::default() };
    let hub = engine.hub_with(|config| config.auth = open).await;
    hub.get(METADATA).send().await.expect(404);
}

pub(crate) async fn d02_the_resource_follows_the_request(engine: Engine) {
    let hub = engine.hub().await;
    for host in ["hub.example", "hub.example:8080", "[::1]:3000"] {
        let metadata = hub.get(METADATA).host(host).send().await.expect(200).json();
        assert_eq!(metadata["resource"], format!("http://{host}{HUB_PATH}"));
    }
}

pub(crate) async fn d02_a_pinned_resource_is_that_everywhere(engine: Engine) {
    let pinned = "https://hub.example/.well-known/mercure";
    let hub = engine.hub_with(|config| config.http.resource_identifier = Some(pinned.parse().unwrap())).await;
    let metadata = hub.get(METADATA).host("other.example").send().await.expect(200).json();
    assert_eq!(metadata["resource"], pinned);
    bare_get(&hub).bearer(&hub.subscriber().mint()).send().await.expect(200);
    let by_address = Token::new(ISSUER, &hub.url(), &SigningKey::secret(SUBSCRIBER_SECRET)).mint();
    bare_get(&hub).bearer(&by_address).send().await.expect_refusal(401, "invalid_token");
    let challenge = bare_get(&hub).send().await.expect(401).challenge();
    assert_eq!(
        challenge.resource_metadata(),
        "https://hub.example/.well-known/oauth-protected-resource/.well-known/mercure"
    );
}

pub(crate) async fn d02_forwarded_fields_are_believed_from_trusted_proxies_only(engine: Engine) {
    let resource = |hub: &petasos_testkit::TestHub, forwarded: &[(&str, &str)]| {
        let request = hub.get(METADATA).host("inner.example");
        let request = forwarded.iter().fold(request, |request, (name, value)| request.header(name, value));
        async move { request.send().await.expect(200).json()["resource"].as_str().unwrap().to_owned() }
    };
    let forwarded = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "outer.example")];
    let suspicious = engine.hub().await;
    assert_eq!(resource(&suspicious, &forwarded).await, "http://inner.example/.well-known/mercure");
    let trusting =
        engine.hub_with(|config| config.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    assert_eq!(resource(&trusting, &forwarded).await, "https://outer.example/.well-known/mercure");
    assert_eq!(resource(&trusting, &forwarded[..1]).await, "https://inner.example/.well-known/mercure");
    assert_eq!(resource(&trusting, &[]).await, "http://inner.example/.well-known/mercure");
}

pub(crate) async fn d02_other_origins_get_421(engine: Engine) {
    let hub = engine
        .hub_with(|config| {
            config.hub.subscriptions = true;
            config.http.public_urls =
                ["http://one.example", "http://two.example:8080"].map(|url| url.parse().unwrap()).to_vec();
        })
        .await;
    let writer = hub.publisher().may_publish(&["*"]).mint();
    for host in ["three.example", "one.example:8080", "two.example", "one.example.evil.example", "127.0.0.1"]
    {
        for request in [
            bare_get(&hub),
            bare_post(&hub).bearer(&writer),
            hub.get(METADATA),
            hub.get(SUBSCRIPTIONS),
            hub.request("QUERY", HUB_PATH).form("match=a"),
        ] {
            let what = format!("{request:?} on {host}");
            let answer = request.host(host).send().await;
            assert_eq!(answer.status, 421, "{what}: {answer:?}");
        }
    }
    for (host, resource) in [
        ("one.example", "http://one.example/.well-known/mercure"),
        ("ONE.example", "http://one.example/.well-known/mercure"),
        ("two.example:8080", "http://two.example:8080/.well-known/mercure"),
    ] {
        let token = Token::new(ISSUER, resource, &SigningKey::secret(SUBSCRIBER_SECRET)).mint();
        bare_get(&hub).host(host).bearer(&token).send().await.expect(200);
    }
}

pub(crate) async fn d02_a_name_that_is_none_is_refused(engine: Engine) {
    let hub = engine.hub().await;
    for host in ["hub example", "hub.example/x", "user@hub.example", "hub.example:x", "", "<script>"] {
        let answer = hub.get(METADATA).host(host).send().await;
        assert!([400, 421].contains(&answer.status), "{host:?}: {answer:?}");
    }
    hub.publish(topic("a"), "").await;
}
