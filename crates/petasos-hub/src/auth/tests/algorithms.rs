//! A09: every algorithm, each with the keys it is for and with no other.

use super::*;

#[tokio::test]
async fn a09_every_algorithm_verifies() {
    for algorithm in Algorithm::ALL {
        let signer = key_for(algorithm);
        accepted(&hub_with(signer.source()), &token().signed_by(&signer)).await;
    }
}

#[tokio::test]
async fn a08_a_key_is_used_with_its_own_algorithm_only() {
    for configured in Algorithm::ALL {
        let hub = hub_with(key_for(configured).source());
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != configured) {
            refused(&hub, &token().signed_by(&key_for(algorithm)), Reason::AlgorithmNotAllowed).await;
        }
    }
}

#[tokio::test]
async fn a08_the_header_cannot_claim_an_algorithm_the_signature_is_not_of() {
    for configured in Algorithm::ALL {
        let hub = hub_with(key_for(configured).source());
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != configured) {
            let lying = token().header("alg", json!(configured.as_str()));
            refused(&hub, &lying.signed_by(&key_for(algorithm)), Reason::BadSignature).await;
        }
    }
}

#[tokio::test]
async fn a08_another_key_of_the_same_kind_does_not_verify() {
    let hub_secret = hub();
    let other = Signer::secret(Algorithm::HS256, OTHER_SECRET);
    refused(&hub_secret, &token().signed_by(&other), Reason::BadSignature).await;
    let hub_rsa = hub_with(key_for(Algorithm::RS256).source());
    let other = Signer::pem(Algorithm::RS256, OTHER_RSA);
    refused(&hub_rsa, &token().signed_by(&other), Reason::BadSignature).await;
}

#[test]
fn a09_names_are_read_back_and_only_those() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
    }
    for name in
        ["", "none", "None", "hs256", "HS256 ", "RS1", "ES512", "ES256K", "Ed25519", "EDDSA", "RSA-OAEP"]
    {
        assert_eq!(Algorithm::parse(name), None, "{name}");
    }
}
