//! Tokens made to deceive: the list of RFC 8725, that of C08, and more.

use super::*;

#[tokio::test]
async fn a08_none_is_no_algorithm_in_any_spelling() {
    let hub = hub();
    let claims = token().claims.to_string();
    for alg in ["none", "None", "NONE", "nOnE", "", " none", "none\u{0}", "null", "nonе"] {
        let header = json!({"typ": "at+jwt", "alg": alg}).to_string();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(&claims));
        refused(&hub, &format!("{message}."), Reason::AlgorithmNotAllowed).await;
        refused(&hub, &format!("{message}.AAAA"), Reason::AlgorithmNotAllowed).await;
        refused(&hub, &signed_header(&header), Reason::AlgorithmNotAllowed).await;
    }
}

#[tokio::test]
async fn a08_alg_is_one_string_of_the_list() {
    let hub = hub();
    for alg in [
        json!(null),
        json!(["HS256"]),
        json!(256),
        json!({"HS256": true}),
        json!("hs256"),
        json!("HS256 "),
        json!("A128KW"),
    ] {
        let header = json!({"typ": "at+jwt", "alg": alg}).to_string();
        refused(&hub, &signed_header(header), Reason::AlgorithmNotAllowed).await;
    }
    refused(&hub, &signed_header(r#"{"typ":"at+jwt"}"#), Reason::AlgorithmNotAllowed).await;
    refused(&hub, &signed_header(r#"{"typ":"at+jwt","ALG":"HS256"}"#), Reason::AlgorithmNotAllowed).await;
}

#[tokio::test]
async fn a08_an_empty_or_cut_signature_verifies_nothing() {
    for algorithm in Algorithm::ALL {
        let signer = key_for(algorithm);
        let hub = hub_with(signer.source());
        let good = token().signed_by(&signer);
        let (message, signature) = good.rsplit_once('.').unwrap();
        refused(&hub, &format!("{message}."), Reason::BadSignature).await;
        refused(
            &hub,
            &format!("{message}.{}", &signature[..signature.len() / 2 / 4 * 4]),
            Reason::BadSignature,
        )
        .await;
        refused(&hub, &format!("{message}.{}", "A".repeat(signature.len() / 4 * 4)), Reason::BadSignature)
            .await;
    }
}

#[tokio::test]
async fn a17_a_public_key_is_no_secret_for_a_forger() {
    for (configured, public) in [
        (Algorithm::RS256, RSA.public),
        (Algorithm::PS384, RSA.public),
        (Algorithm::ES256, P256.public),
        (Algorithm::EdDSA, ED25519.public),
    ] {
        let hub = hub_with(key_for(configured).source());
        for secret in [public.to_owned(), public.trim().to_owned(), public.replace('\n', "\\n")] {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let forger = Signer::secret(algorithm, secret.as_bytes());
                refused(&hub, &token().signed_by(&forger), Reason::AlgorithmNotAllowed).await;
                let lying = token().header("alg", json!(configured.as_str()));
                refused(&hub, &lying.signed_by(&forger), Reason::BadSignature).await;
            }
        }
    }
}

#[tokio::test]
async fn a08_a_token_cannot_bring_its_own_key() {
    let forger = key_for(Algorithm::ES256);
    let own_key = forger.jwk("mine");
    let certificate: String =
        include_str!("keys/p256.certificate.pem").lines().filter(|line| !line.starts_with('-')).collect();
    let hub = hub_with(key_for(Algorithm::ES384).source());
    for (name, value) in [
        ("jwk", own_key.clone()),
        ("jku", json!("http://127.0.0.1:9/jwks.json")),
        ("x5u", json!("http://127.0.0.1:9/cert.pem")),
        ("x5c", json!([certificate])),
        ("x5t", json!("AAAA")),
    ] {
        let forged = token().header(name, value.clone());
        refused(&hub, &forged.clone().signed_by(&forger), Reason::AlgorithmNotAllowed).await;
        refused(&hub, &forged.header("alg", json!("ES384")).signed_by(&forger), Reason::BadSignature).await;
        // In a token of the issuer they do no harm.
        accepted(&hub, &token().header(name, value).signed_by(&key_for(Algorithm::ES384))).await;
    }
    let report =
        hub.explain(Role::Publisher, &token().header("jwk", own_key).signed_by(&forger), HUB, &base()).await;
    assert!(report.notes.iter().any(|note| note.contains("jwk is ignored")), "{report}");
}

#[tokio::test]
async fn a08_the_key_id_is_a_name_and_nothing_else() {
    let hub = hub();
    for kid in [
        "../../../../dev/null",
        "/dev/null",
        "' UNION SELECT 'secret' --",
        "| cat /etc/passwd",
        "http://127.0.0.1:9/",
        "",
        "\u{0}",
    ] {
        accepted(&hub, &token().header("kid", json!(kid)).signed()).await;
        let empty_secret = Signer::secret(Algorithm::HS256, b"");
        refused(&hub, &token().header("kid", json!(kid)).signed_by(&empty_secret), Reason::BadSignature)
            .await;
    }
    for kid in [json!(null), json!(1), json!(["a"]), json!({"a": 1})] {
        refused(&hub, &token().header("kid", kid).signed(), Reason::MalformedToken).await;
    }
}

#[tokio::test]
async fn a08_c08_critical_extensions_are_refused() {
    let hub = hub();
    for crit in [
        json!(["exp"]),
        json!(["b64"]),
        json!([]),
        json!(null),
        json!("exp"),
        json!(["http://example.com/x"]),
    ] {
        refused(&hub, &token().header("crit", crit).signed(), Reason::UnsupportedHeader).await;
    }
    for (name, value) in [
        ("b64", json!(false)),
        ("b64", json!("false")),
        ("b64", json!(null)),
        ("b64", json!(0)),
        ("zip", json!("DEF")),
        ("zip", json!(null)),
    ] {
        refused(&hub, &token().header(name, value).signed(), Reason::UnsupportedHeader).await;
    }
    accepted(&hub, &token().header("b64", json!(true)).signed()).await;
    accepted(&hub, &token().header("Crit", json!(["x"])).header("x", json!(1)).signed()).await;
    // An unencoded payload, as RFC 7797 has it.
    let header = r#"{"typ":"at+jwt","alg":"HS256","b64":false,"crit":["b64"]}"#;
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), "payload");
    let token = format!("{message}.{}", key_for(Algorithm::HS256).sign(&message));
    refused(&hub, &token, Reason::UnsupportedHeader).await;
}

#[tokio::test]
async fn a07_only_access_tokens_are_taken() {
    let hub = hub();
    for typ in ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "APPLICATION/AT+JWT"] {
        accepted(&hub, &token().header("typ", json!(typ)).signed()).await;
    }
    for typ in [
        json!("JWT"),
        json!("jwt"),
        json!(""),
        json!("at+jwt "),
        json!(" at+jwt"),
        json!("at+jwt;v=1"),
        json!("text/at+jwt"),
        json!("logout+jwt"),
        json!("dpop+jwt"),
        json!("application/application/at+jwt"),
        json!(null),
        json!(["at+jwt"]),
        json!(1),
        json!("at\u{ff0b}jwt"),
    ] {
        refused(&hub, &token().header("typ", typ).signed(), Reason::WrongType).await;
    }
    refused(&hub, &token().without_header("typ").signed(), Reason::WrongType).await;
    refused(&hub, &signed_header(r#"{"TYP":"at+jwt","alg":"HS256"}"#), Reason::WrongType).await;
}

#[tokio::test]
async fn c08_doubled_members_are_refused() {
    let hub = hub();
    for header in [
        r#"{"typ":"at+jwt","alg":"HS256","alg":"HS256"}"#,
        r#"{"typ":"JWT","typ":"at+jwt","alg":"HS256"}"#,
        r#"{"typ":"at+jwt","alg":"none","\u0061lg":"HS256"}"#,
        r#"{"typ":"at+jwt","alg":"HS256","x":{"y":1,"y":2}}"#,
    ] {
        refused(&hub, &signed_header(header), Reason::MalformedToken).await;
    }
    let claims = token().claims.to_string();
    for doubled in [
        format!("{{\"exp\":1,{}", &claims[1..]),
        format!("{{\"\\u0065xp\":1,{}", &claims[1..]),
        format!("{{\"iss\":\"https://evil.example\",{}", &claims[1..]),
        format!("{{\"custom\":{{\"a\":[{{\"b\":1,\"b\":1}}]}},{}", &claims[1..]),
        claims.replace("\"match\":", "\"match\":\"*\",\"match\":"),
        claims.replace("\"actions\":", "\"actions\":[\"publish\"],\"actions\":"),
    ] {
        refused(&hub, &signed_payload(doubled), Reason::MalformedToken).await;
    }
}

#[tokio::test]
async fn c08_bytes_that_are_not_utf8_are_refused_even_in_members_nobody_reads() {
    let hub = hub();
    let claims = token().claims.to_string();
    for bad in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"] {
        let ignored = [b"{\"ignored\":\"".as_slice(), bad, b"\",", &claims.as_bytes()[1..]].concat();
        refused(&hub, &signed_payload(&ignored), Reason::MalformedToken).await;
        let header = [b"{\"typ\":\"at+jwt\",\"alg\":\"HS256\",\"x\":\"".as_slice(), bad, b"\"}"].concat();
        refused(&hub, &signed_header(&header), Reason::MalformedToken).await;
    }
    let lone_surrogate = format!("{{\"ignored\":\"\\ud800\",{}", &claims[1..]);
    refused(&hub, &signed_payload(lone_surrogate), Reason::MalformedToken).await;
    refused(&hub, &signed_payload(format!("\u{feff}{claims}")), Reason::MalformedToken).await;
    refused(&hub, &signed_payload([0xff, 0xfe, b'{', 0, b'}', 0]), Reason::MalformedToken).await;
}

#[tokio::test]
async fn c08_header_and_payload_are_one_object_each() {
    let hub = hub();
    let claims = token().claims.to_string();
    for payload in [
        String::new(),
        "null".into(),
        "[]".into(),
        "\"\"".into(),
        "1".into(),
        "{".into(),
        format!("[{claims}]"),
        format!("{claims}{claims}"),
        format!("{claims},"),
        format!("{claims}\0"),
        claims.replace(',', ",,"),
        claims.replace('"', "'"),
    ] {
        refused(&hub, &signed_payload(payload), Reason::MalformedToken).await;
    }
    for header in ["", "null", "[]", "{", "{}{}", "{\"typ\":\"at+jwt\",\"alg\":\"HS256\",}", "\"HS256\""] {
        refused(&hub, &signed_header(header), Reason::MalformedToken).await;
    }
    accepted(&hub, &signed_payload(format!(" \n\t{claims}\r\n"))).await;
}

#[tokio::test]
async fn a07_the_form_is_exactly_three_parts_of_base64url() {
    let hub = hub();
    let good = token().signed();
    let parts: Vec<_> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "a".into(),
        header.into(),
        format!("{header}.{payload}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}.{signature}"),
        format!("{good}\n"),
        format!("\n{good}"),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\0"),
        format!("{good}="),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}==.{signature}"),
        format!("{header}.{payload}.{signature}=="),
        format!("{header}\n.{payload}.{signature}"),
        format!("Bearer {good}"),
        good.replace('.', "\u{2024}"),
        format!("{{\"protected\":\"{header}\",\"payload\":\"{payload}\",\"signature\":\"{signature}\"}}"),
        format!("{header}.{payload}.{}+/", &signature[..signature.len() - 2]),
        format!("{header}.{payload}.{}\u{e4}", &signature[..signature.len() - 2]),
    ] {
        refused(&hub, &bad, Reason::MalformedToken).await;
    }
    // Bits behind the last byte: the same signature in another spelling would be another token.
    let last = signature.as_bytes()[signature.len() - 1];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.iter().position(|letter| *letter == last).unwrap();
    let spelled = format!("{}{}", &good[..good.len() - 1], char::from(alphabet[at | 1]));
    refused(&hub, &spelled, Reason::MalformedToken).await;
}

#[tokio::test]
async fn a07_encrypted_tokens_are_named_as_such() {
    let refusal = hub().publisher(Some("eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d"), HUB, &base()).await.unwrap_err();
    assert!(refusal.detail().contains("JWE"), "{refusal}");
}

#[tokio::test]
async fn a13_a_token_has_a_bounded_size_and_depth() {
    let hub = hub();
    let padded = |bytes: usize| token().claim("padding", json!("x".repeat(bytes))).signed();
    accepted(&hub, &padded(40 << 10)).await;
    refused(&hub, &padded(64 << 10), Reason::TooLarge).await;
    refused(&hub, &"a".repeat(10 << 20), Reason::TooLarge).await;
    refused(&hub, &".".repeat(60_000), Reason::MalformedToken).await;
    let deep = format!(
        "{{\"deep\":{}{},{}",
        "[".repeat(20_000),
        "]".repeat(20_000),
        &token().claims.to_string()[1..]
    );
    refused(&hub, &signed_payload(deep), Reason::MalformedToken).await;
    let deep = format!(
        "{{\"typ\":\"at+jwt\",\"alg\":\"HS256\",\"x\":{}1{}}}",
        "{\"a\":".repeat(5_000),
        "}".repeat(5_000)
    );
    refused(&hub, &signed_header(deep), Reason::MalformedToken).await;
}

#[tokio::test]
async fn a09_an_ecdsa_signature_is_two_numbers_and_not_der() {
    // Both numbers as DER integers, as most libraries hand them out.
    fn der(signature: &[u8]) -> Vec<u8> {
        let integer = |number: &[u8]| {
            let number: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
            let sign = if number[0] & 0x80 == 0 { vec![] } else { vec![0] };
            [vec![2, (sign.len() + number.len()) as u8], sign, number].concat()
        };
        let (r, s) = signature.split_at(signature.len() / 2);
        let body = [integer(r), integer(s)].concat();
        [vec![0x30, body.len() as u8], body].concat()
    }
    for algorithm in [Algorithm::ES256, Algorithm::ES384] {
        let signer = key_for(algorithm);
        let hub = hub_with(signer.source());
        let good = token().signed_by(&signer);
        let (message, signature) = good.rsplit_once('.').unwrap();
        let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
        accepted(&hub, &good).await;
        let in_der = URL_SAFE_NO_PAD.encode(der(&raw));
        refused(&hub, &format!("{message}.{in_der}"), Reason::BadSignature).await;
        // CVE-2022-21449: zero for both numbers verified everything.
        let zeros = URL_SAFE_NO_PAD.encode(vec![0; raw.len()]);
        refused(&hub, &format!("{message}.{zeros}"), Reason::BadSignature).await;
        let padded = URL_SAFE_NO_PAD.encode([raw, vec![0; 3]].concat());
        refused(&hub, &format!("{message}.{padded}"), Reason::BadSignature).await;
    }
}

#[tokio::test]
async fn the_parts_of_two_tokens_do_not_mix() {
    let hub = hub();
    let weak = token().details(json!([])).signed();
    let strong = token().signed();
    let (weak, strong): (Vec<_>, Vec<_>) = (weak.split('.').collect(), strong.split('.').collect());
    refused(&hub, &format!("{}.{}.{}", weak[0], strong[1], weak[2]), Reason::BadSignature).await;
    refused(&hub, &format!("{}.{}.{}", strong[0], weak[1], strong[2]), Reason::BadSignature).await;
    // The same header, spelled otherwise.
    let header = URL_SAFE_NO_PAD.encode(r#"{ "alg":"HS256","typ":"at+jwt"}"#);
    refused(&hub, &format!("{header}.{}.{}", strong[1], strong[2]), Reason::BadSignature).await;
}

#[tokio::test]
async fn a06_refusals_cannot_write_into_a_log() {
    let hub = hub();
    let poison = "\n2026-01-01 ERROR all is lost \u{1b}[2J\u{9b}31m\u{202e}";
    for token in [
        token().claim("iss", json!(poison)).signed(),
        token().claim("aud", json!(poison)).signed(),
        token().header("typ", json!(poison)).signed(),
        token().header("alg", json!(poison)).signed(),
        token().details(json!([detail(&["publish"], json!([{"match": poison}]))])).signed(),
        token()
            .details(json!([detail(&["publish"], json!([{"match": "x", "match_type": poison}]))]))
            .signed(),
        signed_payload(format!("{{\"\u{9b}\":1,\"\u{9b}\":2,{}", &token().claims.to_string()[1..])),
    ] {
        let refusal = hub.publisher(Some(&token), HUB, &base()).await.unwrap_err().to_string();
        assert!(!refusal.contains(['\n', '\u{1b}', '\u{9b}', '\u{202e}']), "{refusal:?}");
        let report = hub.explain(Role::Publisher, &token, HUB, &base()).await;
        let shown = format!("{report}{:?}{:?}", report.header, report.claims);
        assert!(!shown.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{shown:?}");
    }
}
