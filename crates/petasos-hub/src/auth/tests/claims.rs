//! A10 to A12: issuer, audience and times.

use super::*;

#[tokio::test]
async fn a10_the_issuer_must_be_configured() {
    let hub = hub();
    accepted(&hub, &token().signed()).await;
    refused(&hub, &token().without_claim("iss").signed(), Reason::UnknownIssuer).await;
    for iss in [
        "",
        "https://issuer.example/",
        "HTTPS://issuer.example",
        "https://evil.example",
        " https://issuer.example",
    ] {
        refused(&hub, &token().claim("iss", json!(iss)).signed(), Reason::UnknownIssuer).await;
    }
    for iss in [json!([ISSUER]), json!(null), json!(1), json!({"iss": ISSUER}), json!(true)] {
        refused(&hub, &token().claim("iss", iss).signed(), Reason::MalformedClaim).await;
    }
}

#[tokio::test]
async fn a10_only_the_issuers_own_keys_are_tried() {
    let other = Signer::secret(Algorithm::HS256, OTHER_SECRET);
    let config = AuthConfig {
        issuers: vec![
            issuer(
                ISSUER,
                Some(key_for(Algorithm::HS256).source()),
                Some(key_for(Algorithm::HS256).source()),
            ),
            issuer("https://other.example", Some(other.source()), Some(other.source())),
        ],
        ..AuthConfig::default()
    };
    let hub = Authenticator::new(config).unwrap();
    accepted(&hub, &token().claim("iss", json!("https://other.example")).signed_by(&other)).await;
    refused(&hub, &token().signed_by(&other), Reason::BadSignature).await;
    refused(&hub, &token().claim("iss", json!("https://other.example")).signed(), Reason::BadSignature).await;
}

#[tokio::test]
async fn a10_publishers_and_subscribers_keys_are_apart() {
    let publisher = key_for(Algorithm::HS256);
    let subscriber = Signer::secret(Algorithm::HS256, OTHER_SECRET);
    let config = AuthConfig {
        issuers: vec![
            issuer(ISSUER, Some(publisher.source()), Some(subscriber.source())),
            issuer("https://publish.example", Some(publisher.source()), None),
        ],
        ..AuthConfig::default()
    };
    let hub = Authenticator::new(config).unwrap();
    let by_publisher = token().signed_by(&publisher);
    assert_eq!(outcome_for(&hub, Role::Publisher, &by_publisher).await, Ok(()));
    assert_eq!(outcome_for(&hub, Role::Subscriber, &by_publisher).await, Err(Reason::BadSignature));
    let by_subscriber = token().signed_by(&subscriber);
    assert_eq!(outcome_for(&hub, Role::Subscriber, &by_subscriber).await, Ok(()));
    assert_eq!(outcome_for(&hub, Role::Publisher, &by_subscriber).await, Err(Reason::BadSignature));

    let publish_only = token().claim("iss", json!("https://publish.example")).signed_by(&publisher);
    assert_eq!(outcome_for(&hub, Role::Publisher, &publish_only).await, Ok(()));
    assert_eq!(outcome_for(&hub, Role::Subscriber, &publish_only).await, Err(Reason::NoKey));

    let report = hub.explain(Role::Subscriber, &by_publisher, HUB, &base()).await.to_string();
    assert!(report.contains("the issuer's key for publishers"), "{report}");
}

#[tokio::test]
async fn a11_the_audience_must_contain_the_hub() {
    let hub = hub();
    for aud in [json!(HUB), json!([HUB]), json!(["https://a.example", HUB]), json!([HUB, "", HUB])] {
        accepted(&hub, &token().claim("aud", aud).signed()).await;
    }
    refused(&hub, &token().without_claim("aud").signed(), Reason::WrongAudience).await;
    for aud in [
        json!(""),
        json!([]),
        json!("https://other.example/.well-known/mercure"),
        json!(format!("{HUB}/")),
        json!([format!("{HUB} ")]),
        json!("HTTPS://hub.example/.well-known/mercure"),
        json!("https://hub.example"),
        json!("*"),
        json!(format!("https://a.example {HUB}")),
    ] {
        refused(&hub, &token().claim("aud", aud).signed(), Reason::WrongAudience).await;
    }
    for aud in [
        json!(null),
        json!(1),
        json!({"aud": HUB}),
        json!([[HUB]]),
        json!([HUB, 1]),
        json!([HUB, null]),
        json!([{"x": HUB}]),
    ] {
        refused(&hub, &token().claim("aud", aud).signed(), Reason::MalformedClaim).await;
    }
}

#[tokio::test]
async fn a12_the_expiry_is_required_and_a_number() {
    let hub = hub();
    refused(&hub, &token().without_claim("exp").signed(), Reason::MissingExpiry).await;
    for exp in [json!(null), json!("9999999999"), json!([9_999_999_999_u64]), json!({}), json!(true)] {
        refused(&hub, &token().claim("exp", exp).signed(), Reason::MalformedClaim).await;
    }
    for exp in [
        json!(0),
        json!(-1),
        json!(-9.3e18),
        json!(seconds(-1)),
        json!(seconds(0)),
        json!(-1e308),
        json!(1e-300),
    ] {
        refused(&hub, &token().claim("exp", exp).signed(), Reason::Expired).await;
    }
    // Milliseconds taken for seconds, and what overflows every clock.
    for exp in [json!(seconds(3600) * 1000), json!(u64::MAX), json!(1e300)] {
        accepted(&hub, &token().claim("exp", exp).signed()).await;
    }
    // `EXP` is not `exp` (C08).
    refused(
        &hub,
        &token().without_claim("exp").claim("EXP", json!(seconds(3600))).signed(),
        Reason::MissingExpiry,
    )
    .await;
}

#[tokio::test]
async fn a12_numbers_may_be_fractions_and_have_exponents() {
    let hub = hub();
    for exp in ["99999999999.5", "9.9e10", "9.9E+10", "990000000000e-1"] {
        accepted(&hub, &signed_payload(claims_with_raw("exp", exp))).await;
    }
    for exp in ["1e400", "-1e400"] {
        refused(&hub, &signed_payload(claims_with_raw("exp", exp)), Reason::MalformedToken).await;
    }
    for exp in ["+1", "01", "1.", ".5", "0x10", "NaN", "Infinity", "-Infinity", "1e", "'1'"] {
        refused(&hub, &signed_payload(claims_with_raw("exp", exp)), Reason::MalformedToken).await;
    }
}

#[tokio::test]
async fn a12_times_are_exact_without_leeway() {
    let hub = hub();
    let token = token().claim("nbf", json!(2_000_000_000.25)).claim("exp", json!(2_000_000_100.5)).signed();
    assert_eq!(outcome_at(&hub, &token, at(2_000_000_000.0)).await, Err(Reason::NotYetValid));
    assert_eq!(outcome_at(&hub, &token, at(2_000_000_000.25)).await, Ok(()));
    assert_eq!(outcome_at(&hub, &token, at(2_000_000_100.499)).await, Ok(()));
    assert_eq!(outcome_at(&hub, &token, at(2_000_000_100.5)).await, Err(Reason::Expired));
    // The clock goes back: what was verified once is checked again.
    assert_eq!(outcome_at(&hub, &token, at(2_000_000_000.0)).await, Err(Reason::NotYetValid));
}

#[tokio::test]
async fn a12_not_before_is_enforced_if_present() {
    let hub = hub();
    accepted(&hub, &token().claim("nbf", json!(seconds(-10))).signed()).await;
    accepted(&hub, &token().claim("nbf", json!(-1)).signed()).await;
    for nbf in [json!(seconds(3000)), json!(1e300), json!(u64::MAX)] {
        refused(&hub, &token().claim("nbf", nbf).signed(), Reason::NotYetValid).await;
    }
    for nbf in [json!(null), json!("0"), json!([0]), json!({}), json!(false)] {
        refused(&hub, &token().claim("nbf", nbf).signed(), Reason::MalformedClaim).await;
    }
    refused(&hub, &signed_payload(claims_with_raw("nbf", "1e400")), Reason::MalformedToken).await;
}

#[tokio::test]
async fn the_subject_is_a_string_if_present() {
    let hub = hub();
    let subject = |token: String| {
        let hub = &hub;
        async move { hub.publisher(Some(&token), HUB, &base()).await.unwrap().subject().map(str::to_owned) }
    };
    assert_eq!(subject(token().signed()).await.as_deref(), Some("alice"));
    assert_eq!(subject(token().without_claim("sub").signed()).await, None);
    for sub in [json!(null), json!(1), json!(["alice"])] {
        refused(&hub, &token().claim("sub", sub).signed(), Reason::MalformedClaim).await;
    }
}

#[tokio::test]
async fn s13_a_grant_knows_when_its_token_ends() {
    let token = token().claim("exp", json!(4_000_000_000.5)).signed();
    let grant = hub().subscriber(Some(&token), HUB, &base()).await.unwrap();
    assert_eq!(grant.expires_at(), Some(at(4_000_000_000.5)));
    assert!(!grant.is_anonymous());
}

#[tokio::test]
async fn a06_claims_are_not_looked_at_before_the_signature_is() {
    let hub = hub();
    let other = Signer::secret(Algorithm::HS256, OTHER_SECRET);
    for unsigned in [
        token().claim("exp", json!(1)),
        token().claim("aud", json!("https://other.example")),
        token().claim("nbf", json!(seconds(1000))),
        token().details(json!(1)),
    ] {
        refused(&hub, &unsigned.signed_by(&other), Reason::BadSignature).await;
    }
}
