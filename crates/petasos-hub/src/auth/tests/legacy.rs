//! Tokens of the 0.x generation (L03, L08), and that a hub without the mode says what they are.

use super::*;
use crate::{
    auth::{Compatibility, Generation, has_old_form},
    topic::{MatchType, ParsedTopic},
};

/// An old token in the making, as the libraries of that generation make them.
pub(super) fn old_token(mercure: Value) -> Token {
    Token { header: json!({"typ": "JWT"}), claims: json!({ "mercure": mercure }) }
}

fn no_issuer() -> Signer {
    Signer::secret(Algorithm::HS256, OTHER_SECRET)
}

/// A hub in the mode: an issuer with [`SECRET`], and [`OTHER_SECRET`] that no issuer has.
pub(super) fn both() -> Authenticator {
    let keys = no_issuer().source();
    let compatibility = Compatibility { publisher: Some(keys.clone()), subscriber: Some(keys) };
    Authenticator::new(AuthConfig {
        compatibility: Some(compatibility),
        ..config(key_for(Algorithm::HS256).source())
    })
    .unwrap()
}

async fn may_publish(hub: &Authenticator, token: &str, topic: &str) -> bool {
    let grant = hub.publisher(Some(token), HUB, &base()).await.unwrap();
    assert_eq!(grant.generation(), Generation::Old);
    grant.allows(&[ParsedTopic::new(topic)])
}

async fn may_read(hub: &Authenticator, token: &str, topic: &str) -> bool {
    let grant = hub.subscriber(Some(token), HUB, &base()).await.unwrap();
    assert_eq!(grant.generation(), Generation::Old);
    grant.allows_private(&[ParsedTopic::new(topic)])
}

#[tokio::test]
async fn l03_the_claim_grants_by_selectors() {
    let hub = both();
    let claim = json!({
        "publish": ["https://example.com/books/{id}", "exact topic", "https://example.com/{"],
        "subscribe": ["https://example.com/{+any}"],
    });
    for name in ["mercure", "https://mercure.rocks/"] {
        let mut token = old_token(json!({}));
        token.claims = json!({ name: claim });
        let token = token.signed_by(&no_issuer());
        accepted(&hub, &token).await;
        for (topic, published, read) in [
            ("https://example.com/books/1", true, true),
            ("https://example.com/books/1/2", false, true),
            ("exact topic", true, false),
            ("https://example.com/{", true, false),
            ("https://example.com/books/{id}", true, false),
            ("https://example.org/", false, false),
        ] {
            assert_eq!(may_publish(&hub, &token, topic).await, published, "{topic}");
            assert_eq!(may_read(&hub, &token, topic).await, read, "{topic}");
        }
    }
    let all = old_token(json!({"publish": ["*"], "subscribe": ["*"]})).signed_by(&no_issuer());
    assert!(may_publish(&hub, &all, "x").await && may_read(&hub, &all, "x").await);
}

#[tokio::test]
async fn l03_without_subscribe_only_public_updates_are_read_and_without_publish_nothing_is_published() {
    let hub = both();
    for claim in
        [json!({}), json!({"subscribe": null, "publish": null}), json!({"subscribe": [], "publish": []})]
    {
        let token = old_token(claim).signed_by(&no_issuer());
        let grant = hub.subscriber(Some(&token), HUB, &base()).await.unwrap();
        assert!(grant.is_public_only() && !grant.is_anonymous());
        assert!(!may_publish(&hub, &token, "x").await);
    }
    // A token without a claim is the same with a key of the 0.x generation, and nothing with an issuer's.
    let claimless = Token { header: json!({"typ": "JWT"}), claims: json!({"sub": "x"}) };
    accepted(&hub, &claimless.clone().signed_by(&no_issuer())).await;
    assert!(!may_read(&hub, &claimless.clone().signed_by(&no_issuer()), "x").await);
    refused(&hub, &claimless.signed(), Reason::WrongType).await;
}

#[tokio::test]
async fn l03_objects_name_a_type_and_may_have_a_payload_of_their_own() {
    let hub = both();
    let claim = json!({
        "publish": [{"match": "a"}, {"match": "https://example.com/:id", "match_type": "urlpattern"}],
        "subscribe": [{"match": "b", "match_type": "exact", "payload": {"n": 1}}, "{+any}"],
        "payload": ["for", "all"],
    });
    let token = old_token(claim).signed_by(&no_issuer());
    assert!(may_publish(&hub, &token, "https://example.com/1").await && may_publish(&hub, &token, "a").await);
    assert!(!may_publish(&hub, &token, "{match}").await);
    let grant = hub.subscriber(Some(&token), HUB, &base()).await.unwrap();
    assert_eq!(grant.payload_for(MatchType::Topic, "b").as_deref(), Some(r#"{"n":1}"#));
    assert_eq!(grant.payload_for(MatchType::Topic, "anything").as_deref(), Some(r#"["for","all"]"#));
    // L07: in 0.x the payload is that of the token, whatever its selectors are.
    assert_eq!(grant.payload_for(MatchType::Exact, "\u{e9}").as_deref(), Some(r#"["for","all"]"#));
    let text = old_token(json!({"subscribe": ["a"], "payload": "a text"})).signed_by(&no_issuer());
    let grant = hub.subscriber(Some(&text), HUB, &base()).await.unwrap();
    assert_eq!(grant.payload_for(MatchType::Topic, "a").as_deref(), Some(r#""a text""#));
    let none = old_token(json!({"subscribe": ["a"], "payload": null})).signed_by(&no_issuer());
    assert_eq!(
        hub.subscriber(Some(&none), HUB, &base()).await.unwrap().payload_for(MatchType::Topic, "a"),
        None
    );
}

#[tokio::test]
async fn l03_a_malformed_claim_makes_the_whole_token_invalid() {
    let hub = both();
    for claim in [
        json!("*"),
        json!(["*"]),
        json!(null),
        json!({"publish": "*"}),
        json!({"subscribe": {"match": "*"}}),
        json!({"publish": [1]}),
        json!({"publish": [null]}),
        json!({"subscribe": [["*"]]}),
        json!({"subscribe": [{"topic": "*"}]}),
        json!({"subscribe": [{"match": "*", "match_type": "uritemplate"}]}),
        json!({"subscribe": [{"match": "*", "match_type": "topic"}]}),
        json!({"subscribe": [{"match": "/(", "match_type": "urlpattern"}]}),
        json!({"subscribe": ["a\u{0}b"]}),
    ] {
        refused(&hub, &old_token(claim).signed_by(&no_issuer()), Reason::MalformedClaim).await;
    }
    let twice =
        old_token(json!({"publish": ["a"]})).claim("https://mercure.rocks/", json!({"publish": ["*"]}));
    refused(&hub, &twice.signed_by(&no_issuer()), Reason::MalformedClaim).await;
    let many: Vec<_> = (0..1_001).map(|n| n.to_string()).collect();
    for claim in [
        json!({"publish": many}),
        json!({"publish": many[..600], "subscribe": many[..401]}),
        json!({"subscribe": ["x".repeat((8 << 10) + 1)]}),
        json!({"payload": "x".repeat(8 << 10)}),
    ] {
        refused(&hub, &old_token(claim).signed_by(&no_issuer()), Reason::TooLarge).await;
    }
    accepted(
        &hub,
        &old_token(json!({"publish": many[..600], "subscribe": many[..400]})).signed_by(&no_issuer()),
    )
    .await;
}

#[tokio::test]
async fn l03_signature_algorithm_exp_and_nbf_are_still_checked() {
    let hub = both();
    let token = || old_token(json!({"publish": ["*"], "subscribe": ["*"]}));
    accepted(&hub, &token().signed_by(&no_issuer())).await;
    accepted(
        &hub,
        &token().claim("exp", json!(seconds(60))).claim("nbf", json!(seconds(-60))).signed_by(&no_issuer()),
    )
    .await;
    accepted(&hub, &token().without_header("typ").signed_by(&no_issuer())).await;
    let wrong =
        Signer::secret(Algorithm::HS256, b"a third secret that is long enough for every hash there is");
    for (token, reason) in [
        (token().signed_by(&wrong), Reason::BadSignature),
        (token().header("alg", json!("none")).signed_by(&no_issuer()), Reason::AlgorithmNotAllowed),
        (token().signed_by(&Signer::secret(Algorithm::HS512, OTHER_SECRET)), Reason::AlgorithmNotAllowed),
        (token().signed_by(&key_for(Algorithm::RS256)), Reason::AlgorithmNotAllowed),
        (token().claim("exp", json!(seconds(-1))).signed_by(&no_issuer()), Reason::Expired),
        (token().claim("exp", json!("never")).signed_by(&no_issuer()), Reason::MalformedClaim),
        (token().claim("nbf", json!(seconds(60))).signed_by(&no_issuer()), Reason::NotYetValid),
        (token().claim("sub", json!(1)).signed_by(&no_issuer()), Reason::MalformedClaim),
        (token().header("crit", json!(["x"])).signed_by(&no_issuer()), Reason::UnsupportedHeader),
        (token().header("typ", json!(1)).signed_by(&no_issuer()), Reason::WrongType),
    ] {
        refused(&hub, &token, reason).await;
    }
    let (message, _) =
        token().signed_by(&no_issuer()).rsplit_once('.').map(|(m, s)| (m.to_owned(), s.to_owned())).unwrap();
    refused(&hub, &format!("{message}."), Reason::BadSignature).await;
}

#[tokio::test]
async fn l08_the_keys_of_old_tokens() {
    let rsa = key_for(Algorithm::RS256);
    let publisher = Some(KeySource::Jwks {
        location: crate::auth::JwksLocation::File("/nowhere/jwks.json".into()),
        algorithms: vec![],
    });
    let configuration = AuthConfig {
        issuers: vec![
            issuer("https://one.example", Some(key_for(Algorithm::HS256).source()), None),
            issuer("https://two.example", Some(rsa.source()), Some(no_issuer().source())),
            issuer("https://set.example", publisher, None),
        ],
        compatibility: Some(Compatibility {
            publisher: Some(Signer::secret(Algorithm::HS512, OTHER_SECRET).source()),
            subscriber: None,
        }),
        ..AuthConfig::default()
    };
    let hub = Authenticator::new(configuration).unwrap();
    let token = || old_token(json!({"publish": ["*"], "subscribe": ["*"]}));
    let without_issuer = token().signed_by(&Signer::secret(Algorithm::HS512, OTHER_SECRET));
    for (role, token, expected) in [
        // A key that no issuer has, and the static keys of issuers, each for its role.
        (Role::Publisher, without_issuer.clone(), Ok(())),
        (Role::Publisher, token().signed(), Ok(())),
        (Role::Publisher, token().signed_by(&rsa), Ok(())),
        (Role::Subscriber, token().signed_by(&no_issuer()), Ok(())),
        (Role::Subscriber, without_issuer, Err(Reason::AlgorithmNotAllowed)),
        (Role::Subscriber, token().signed(), Err(Reason::BadSignature)),
        // An issuer that is named and configured: its own keys and no other issuer's.
        (Role::Publisher, token().claim("iss", json!("https://one.example")).signed(), Ok(())),
        (
            Role::Publisher,
            token().claim("iss", json!("https://two.example")).signed(),
            Err(Reason::AlgorithmNotAllowed),
        ),
        (Role::Publisher, token().claim("iss", json!("https://else.example")).signed(), Ok(())),
        // Sets of issuers are for tokens of the 1.0 generation.
        (
            Role::Publisher,
            token().claim("iss", json!("https://set.example")).signed(),
            Err(Reason::AlgorithmNotAllowed),
        ),
        (Role::Subscriber, token().claim("iss", json!("https://one.example")).signed(), Err(Reason::NoKey)),
    ] {
        assert_eq!(outcome_for(&hub, role, &token).await, expected, "{role} {token}");
    }
    // L08: such a key verifies old tokens only.
    let new = super::token().signed_by(&Signer::secret(Algorithm::HS512, OTHER_SECRET));
    assert_eq!(outcome_for(&hub, Role::Publisher, &new).await, Err(Reason::UnknownIssuer));
    let new = super::token().claim("iss", json!("https://one.example"));
    let new = new.signed_by(&Signer::secret(Algorithm::HS512, OTHER_SECRET));
    assert_eq!(outcome_for(&hub, Role::Publisher, &new).await, Err(Reason::AlgorithmNotAllowed));
}

#[tokio::test]
async fn l08_keys_without_an_issuer_are_replaced_with_the_others() {
    let hub = both();
    let token = |signer: &Signer| old_token(json!({"publish": ["*"]})).signed_by(signer);
    accepted(&hub, &token(&no_issuer())).await;
    let third =
        Signer::secret(Algorithm::HS256, b"a third secret that is long enough for every hash there is");
    let keys = Compatibility { publisher: Some(third.source()), subscriber: Some(third.source()) };
    let other = AuthConfig { compatibility: Some(keys), ..config(key_for(Algorithm::HS256).source()) };
    hub.replace_keys(&other).unwrap();
    refused(&hub, &token(&no_issuer()), Reason::BadSignature).await;
    accepted(&hub, &token(&third)).await;
    // The mode can be left while a hub runs, and not entered.
    hub.replace_keys(&AuthConfig { compatibility: None, ..other.clone() }).unwrap();
    assert!(!hub.serves_old_generation());
    refused(&hub, &token(&third), Reason::OldToken).await;
    refused(&hub, &old_token(json!({"publish": ["*"]})).signed(), Reason::OldToken).await;
    accepted(&hub, &super::token().signed()).await;
    hub.replace_keys(&other).unwrap();
    assert!(!hub.serves_old_generation());
    refused(&hub, &token(&third), Reason::OldToken).await;
    let plain = super::hub();
    plain.replace_keys(&other).unwrap();
    refused(&plain, &token(&third), Reason::OldToken).await;
}

fn numbered(number: usize) -> Signer {
    Signer::secret(
        Algorithm::HS256,
        format!("secret {number:03} that is long enough for this hash").as_bytes(),
    )
}

fn hub_of_issuers(count: usize) -> Authenticator {
    let issuer_of = |number| {
        let keys = Some(numbered(number).source());
        issuer(&format!("https://{number:03}.example"), keys.clone(), keys)
    };
    Authenticator::new(AuthConfig {
        // Not in the order of their ids.
        issuers: (0..count).rev().map(issuer_of).collect(),
        compatibility: Some(Compatibility::default()),
        ..AuthConfig::default()
    })
    .unwrap()
}

#[tokio::test]
async fn l03_an_old_token_that_names_no_issuer_is_tried_against_the_same_few_keys() {
    let token = || old_token(json!({"publish": ["*"]}));
    let few = hub_of_issuers(16);
    assert_eq!(few.warnings(), Vec::<String>::new());
    accepted(&few, &token().signed_by(&numbered(15))).await;
    let many = hub_of_issuers(18);
    for number in 0..18 {
        let expected = if number < 16 { Ok(()) } else { Err(Reason::BadSignature) };
        let token = token().signed_by(&numbered(number));
        assert_eq!(outcome_for(&many, Role::Publisher, &token).await, expected, "{number}");
    }
    accepted(&many, &token().claim("iss", json!("https://017.example")).signed_by(&numbered(17))).await;
    let warnings = many.warnings();
    assert_eq!(warnings.len(), 2, "one for each role: {warnings:?}");
    assert!(warnings[0].contains("18 keys of publishers") && warnings[0].contains("iss"), "{warnings:?}");
}

#[tokio::test]
async fn l03_a_hub_without_the_mode_says_that_a_token_is_an_old_one() {
    let hub = hub();
    let old = old_token(json!({"publish": ["*"]}));
    for token in [old.clone(), old.without_header("typ"), old_token(json!("broken"))] {
        assert!(has_old_form(&token.clone().signed()));
        refused(&hub, &token.clone().signed(), Reason::OldToken).await;
        // Nothing is verified, and nothing is told but what the token says of itself.
        refused(&hub, &token.signed_by(&no_issuer()), Reason::OldToken).await;
    }
    // What is no old token beyond doubt is what it was before.
    refused(&hub, &token().header("typ", json!("JWT")).signed(), Reason::WrongType).await;
    refused(
        &hub,
        &token().without_claim("authorization_details").header("typ", json!("JWT")).signed(),
        Reason::WrongType,
    )
    .await;
}

#[tokio::test]
async fn l03_what_has_anything_of_the_1_0_generation_stands_under_its_rules() {
    let hub = both();
    let all = json!({"publish": ["*"], "subscribe": ["*"]});
    let signers = [key_for(Algorithm::HS256), no_issuer()];
    for signer in &signers {
        let sign = |token: Token| token.signed_by(signer);
        for typ in [json!("JWT"), json!("jwt"), json!(""), json!("at+jwt;"), json!("at+jwt ")] {
            // A broken new token, however it is signed.
            let broken = token().claim("mercure", all.clone()).header("typ", typ);
            refused(&hub, &sign(broken), Reason::WrongType).await;
        }
        for details in [json!(null), json!([]), json!({}), json!("")] {
            let broken = old_token(all.clone()).claim("authorization_details", details);
            refused(&hub, &sign(broken), Reason::WrongType).await;
        }
    }
    // With the type of an access token, the old claim is no claim.
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        let new = token().without_claim("authorization_details").claim("mercure", all.clone());
        let new = new.header("typ", json!(typ)).signed();
        accepted(&hub, &new).await;
        let grant = hub.subscriber(Some(&new), HUB, &base()).await.unwrap();
        assert!(grant.is_public_only() && grant.generation() == Generation::New);
        assert!(!hub.publisher(Some(&new), HUB, &base()).await.unwrap().allows(&[ParsedTopic::new("x")]));
        refused(
            &hub,
            &old_token(all.clone()).header("typ", json!(typ)).signed_by(&no_issuer()),
            Reason::UnknownIssuer,
        )
        .await;
    }
    // Both claims, new rules: what the old one grants is not granted.
    let both_claims = token().claim("mercure", all.clone()).signed();
    let grant = hub.publisher(Some(&both_claims), HUB, &base()).await.unwrap();
    assert!(grant.allows(&[ParsedTopic::new("https://example.com/books/1")]));
    assert!(!grant.allows(&[ParsedTopic::new("x")]) && grant.generation() == Generation::New);
}

#[tokio::test]
async fn the_report_says_what_the_other_generation_would_need() {
    let hub = both();
    let old = old_token(json!({"publish": ["a/{b}"], "subscribe": ["*"]})).signed_by(&no_issuer());
    let report = hub.explain(Role::Publisher, &old, HUB, &base()).await;
    assert!(report.is_accepted(), "{report}");
    assert_eq!(report.generation, Generation::Old);
    assert_eq!(report.granted, [(MatchType::Topic, "a/{b}".to_owned())]);
    assert_eq!(
        report.other_needs,
        [
            "the header typ \"at+jwt\"",
            "an iss that the hub trusts: \"https://issuer.example\"",
            "an aud that contains \"https://hub.example/.well-known/mercure\"",
            "an exp",
            "authorization_details, with what the claim mercure grants",
        ]
    );
    let new = hub.explain(Role::Publisher, &token().signed(), HUB, &base()).await;
    assert_eq!(new.generation, Generation::New);
    assert_eq!(new.other_needs, ["a claim mercure, with publish and subscribe as lists of topic selectors"]);
    let both = token().claim("mercure", json!({})).signed();
    assert!(hub.explain(Role::Publisher, &both, HUB, &base()).await.other_needs.is_empty());
    // Where the mode is off, the report is about the rules that refuse it.
    let plain = super::hub().explain(Role::Publisher, &old, HUB, &base()).await;
    assert_eq!(
        (plain.generation, plain.first_failure().map(|step| step.rule)),
        (Generation::Old, Some("A07"))
    );
}
