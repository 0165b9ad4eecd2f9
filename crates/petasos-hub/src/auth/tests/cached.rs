//! Verified tokens are remembered, and for nothing else than they were verified for.

use super::*;

#[tokio::test]
async fn a_token_is_verified_once_for_each_use() {
    let hub = hub();
    let token = token().signed();
    for _ in 0..3 {
        hub.publisher(Some(&token), HUB, &base()).await.unwrap();
    }
    assert_eq!(hub.cache.len(), 1);
    hub.subscriber(Some(&token), HUB, &base()).await.unwrap();
    hub.publisher(Some(&token), HUB, &Base::parse("https://other.example/.well-known/mercure").unwrap())
        .await
        .unwrap();
    assert_eq!(hub.cache.len(), 3);
}

#[tokio::test]
async fn a11_a_remembered_token_is_not_good_for_another_audience() {
    let hub = hub();
    let token = token().signed();
    hub.publisher(Some(&token), HUB, &base()).await.unwrap();
    let refusal =
        hub.publisher(Some(&token), "https://other.example/.well-known/mercure", &base()).await.unwrap_err();
    assert_eq!(refusal.reason(), Reason::WrongAudience);
}

#[tokio::test]
async fn refused_tokens_are_not_remembered() {
    let hub = hub();
    for n in 0..50 {
        refused(
            &hub,
            &token().claim("jti", json!(n)).signed_by(&Signer::secret(Algorithm::HS256, OTHER_SECRET)),
            Reason::BadSignature,
        )
        .await;
    }
    assert_eq!(hub.cache.len(), 0);
}

#[tokio::test]
async fn the_cache_is_bounded_in_bytes() {
    let hub = hub();
    let base = base();
    for n in 0..600 {
        let token = token().claim("n", json!(n)).claim("padding", json!("x".repeat(40 << 10))).signed();
        hub.publisher(Some(&token), HUB, &base).await.unwrap();
    }
    assert!(hub.cache.len() < 600 && hub.cache.len() > 50, "{}", hub.cache.len());
}

#[tokio::test]
async fn replaced_keys_hold_at_once_and_old_tokens_do_not() {
    let hub = hub();
    let old = token().signed();
    accepted(&hub, &old).await;
    let other = Signer::secret(Algorithm::HS256, OTHER_SECRET);
    hub.replace_keys(&config(other.source())).unwrap();
    refused(&hub, &old, Reason::BadSignature).await;
    accepted(&hub, &token().signed_by(&other)).await;
    // A configuration that is wrong changes nothing.
    assert!(
        hub.replace_keys(&AuthConfig { issuers: vec![issuer("x", None, None)], ..AuthConfig::default() })
            .is_err()
    );
    accepted(&hub, &token().signed_by(&other)).await;
}
