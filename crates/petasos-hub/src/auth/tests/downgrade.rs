//! Whatever is done to a token of the 1.0 generation, signed anew or not, the compatibility mode makes of it nothing that the
//! rules of its own generation would not, unless it has become an old token that a key of the hub has signed.
//!
//! The oracle knows nothing of the code under test: a hub without the mode for the one half, and its own few lines about old
//! tokens for the other.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::{legacy::both, *};
use crate::topic::ParsedTopic;

/// A hub in the mode, and the same one without it.
static HUBS: LazyLock<[Authenticator; 2]> = LazyLock::new(|| [both(), hub()]);

const TOPICS: [&str; 4] = ["https://example.com/books/1", "https://example.com/books/2", "old topic", "*x"];

/// What a token may do with each of [`TOPICS`]; `None` where it is refused.
fn rights(hub: &Authenticator, role: Role, token: &str) -> Option<Vec<bool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let allowed = |topic: &&str, allows: &dyn Fn(&ParsedTopic<'_>) -> bool| allows(&ParsedTopic::new(topic));
    match role {
        Role::Publisher => {
            let grant = runtime.block_on(hub.publisher(Some(token), HUB, &base())).ok()?;
            let allows = |topic: &ParsedTopic<'_>| grant.allows(std::slice::from_ref(topic));
            Some(TOPICS.iter().map(|topic| allowed(topic, &allows)).collect())
        }
        Role::Subscriber => {
            let grant = runtime.block_on(hub.subscriber(Some(token), HUB, &base())).ok()?;
            let allows = |topic: &ParsedTopic<'_>| grant.allows_topic(topic);
            Some(TOPICS.iter().map(|topic| allowed(topic, &allows)).collect())
        }
    }
}

/// What an old token grants by the words of L03, if it is one and a key has signed it. The claims that mutations put in have
/// plain topics and the wildcard only.
fn rights_of_old(role: Role, token: &str) -> Option<Vec<bool>> {
    let mut parts = token.split('.');
    let (header, payload, signature, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next())
    else {
        return None;
    };
    let json = |part| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let (head, claims) = (json(header)?, json(payload)?);
    if head["typ"]
        .as_str()
        .is_some_and(|typ| ["at+jwt", "application/at+jwt"].contains(&&*typ.to_lowercase()))
    {
        return None;
    }
    if claims.as_object()?.contains_key("authorization_details") || head["alg"] != "HS256" {
        return None;
    }
    let message = format!("{header}.{payload}");
    let signed_by = |secret: &[u8]| Signer::secret(Algorithm::HS256, secret).sign(&message) == signature;
    let of_issuer = signed_by(SECRET);
    if !of_issuer && !signed_by(OTHER_SECRET) {
        return None;
    }
    if claims.get("exp").is_some_and(|exp| exp.as_f64().is_none_or(|exp| exp <= seconds(0) as f64)) {
        return None;
    }
    let claim = claims.get("mercure").or(claims.get("https://mercure.rocks/"));
    if of_issuer && claim.is_none() {
        return None;
    }
    let name = if role == Role::Publisher { "publish" } else { "subscribe" };
    let selectors = claim.and_then(|claim| claim[name].as_array().cloned()).unwrap_or_default();
    let grants = |topic: &&str| selectors.iter().any(|selector| selector == "*" || selector == topic);
    Some(TOPICS.iter().map(grants).collect())
}

/// How one part of a token is changed.
#[derive(Clone, Debug)]
enum Change {
    Header(&'static str, Option<Value>),
    Claim(&'static str, Option<Value>),
}

fn change() -> impl Strategy<Value = Change> {
    let header = [
        ("typ", None),
        ("typ", Some(json!("JWT"))),
        ("typ", Some(json!("AT+jwt"))),
        ("typ", Some(json!("application/at+jwt"))),
        ("typ", Some(json!("at+jwt\u{0}"))),
        ("typ", Some(json!(["at+jwt"]))),
        ("Typ", Some(json!("JWT"))),
        ("alg", Some(json!("none"))),
        ("alg", Some(json!("HS384"))),
        ("alg", Some(json!("RS256"))),
        ("crit", Some(json!(["exp"]))),
        ("kid", Some(json!("x"))),
    ];
    let all = || json!({"publish": ["*"], "subscribe": ["*"]});
    let claims = [
        ("iss", None),
        ("iss", Some(json!("https://other.example"))),
        ("iss", Some(json!([ISSUER]))),
        ("aud", None),
        ("aud", Some(json!("https://other.example/.well-known/mercure"))),
        ("exp", None),
        ("exp", Some(json!(1))),
        ("exp", Some(json!(4_000_000_000_u64))),
        ("EXP", Some(json!(4_000_000_000_u64))),
        ("nbf", Some(json!(4_000_000_000_u64))),
        ("authorization_details", None),
        ("authorization_details", Some(json!(null))),
        ("authorization_details", Some(json!([]))),
        ("authorization_details", Some(json!("x"))),
        ("Authorization_Details", Some(json!([]))),
        ("mercure", Some(all())),
        ("mercure", Some(json!({"publish": ["old topic"]}))),
        ("mercure", Some(json!({"subscribe": ["old topic"], "payload": 1}))),
        ("mercure", Some(json!("broken"))),
        ("https://mercure.rocks/", Some(all())),
        ("Mercure", Some(all())),
    ];
    let header =
        proptest::sample::select(header.to_vec()).prop_map(|(name, value)| Change::Header(name, value));
    let claim =
        proptest::sample::select(claims.to_vec()).prop_map(|(name, value)| Change::Claim(name, value));
    prop_oneof![1 => header, 2 => claim]
}

/// What becomes of the signature.
#[derive(Clone, Debug)]
enum Signature {
    OfIssuer,
    OfNoIssuer,
    Wrong,
    None,
    /// That of the token before it was changed.
    Kept,
}

fn set(object: &mut Value, name: &str, value: Option<Value>) {
    match value {
        Some(value) => object[name] = value,
        None => {
            object.as_object_mut().unwrap().remove(name);
        }
    }
}

fn changed(changes: Vec<Change>, signature: &Signature) -> String {
    let mut token = token();
    token.header["alg"] = json!("HS256");
    let before = token.clone().signed();
    for change in changes {
        match change {
            Change::Header(name, value) => set(&mut token.header, name, value),
            Change::Claim(name, value) => set(&mut token.claims, name, value),
        }
    }
    let by = |secret: &[u8]| Signer::secret(Algorithm::HS256, secret);
    let signed = token.signed_by(&by(match signature {
        Signature::OfNoIssuer => OTHER_SECRET,
        Signature::Wrong => b"a secret that the hub does not know and that is long enough",
        _ => SECRET,
    }));
    let (message, _) = signed.rsplit_once('.').unwrap();
    match signature {
        Signature::None => format!("{message}."),
        Signature::Kept => format!("{message}.{}", before.rsplit('.').next().unwrap()),
        _ => signed,
    }
}

#[track_caller]
fn check(token: &str) -> Result<(), TestCaseError> {
    let [mode, plain] = &*HUBS;
    for role in [Role::Publisher, Role::Subscriber] {
        let (found, by_the_rules) = (rights(mode, role, token), rights(plain, role, token));
        if let Some(rights) = by_the_rules {
            prop_assert_eq!(found, Some(rights), "the mode changes what a good token grants: {}", token);
        } else if let Some(found) = found {
            let old = rights_of_old(role, token);
            prop_assert_eq!(Some(found), old, "what the rules refuse has rights: {}", token);
        }
    }
    Ok(())
}

#[test]
fn l03_the_oracle_sees_both_kinds_of_tokens() {
    let [mode, plain] = &*HUBS;
    let new = changed(Vec::new(), &Signature::OfIssuer);
    assert_eq!(rights(plain, Role::Publisher, &new), Some(vec![true, false, false, false]));
    let old = changed(
        vec![
            Change::Header("typ", Some(json!("JWT"))),
            Change::Claim("authorization_details", None),
            Change::Claim("mercure", Some(json!({"publish": ["old topic"]}))),
        ],
        &Signature::OfNoIssuer,
    );
    assert_eq!(rights(plain, Role::Publisher, &old), None);
    assert_eq!(rights(mode, Role::Publisher, &old), Some(vec![false, false, true, false]));
    assert_eq!(rights_of_old(Role::Publisher, &old), Some(vec![false, false, true, false]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn l03_no_change_makes_of_a_new_token_an_old_one_with_rights_that_nobody_signed(
        changes in proptest::collection::vec(change(), 0..7),
        signature in proptest::sample::select(vec![
            Signature::OfIssuer, Signature::OfIssuer, Signature::OfNoIssuer, Signature::Wrong, Signature::None, Signature::Kept,
        ]),
    ) {
        check(&changed(changes, &signature))?;
    }

    #[test]
    fn l03_no_change_of_bytes_does_either(
        changes in proptest::collection::vec(change(), 0..4),
        at in any::<prop::sample::Index>(),
        len in 0..20_usize,
        insert in "[A-Za-z0-9_.=-]{0,12}",
    ) {
        let token = changed(changes, &Signature::OfIssuer);
        let at = at.index(token.len());
        let end = (at + len).min(token.len());
        check(&format!("{}{insert}{}", &token[..at], &token[end..]))?;
    }
}
