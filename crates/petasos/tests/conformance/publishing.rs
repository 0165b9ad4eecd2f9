//! P01 to P03, P07 to P11 and P13: what is taken, and what is answered.

use petasos_hub::auth::AuthConfig;
use petasos_testkit::{
    HUB_PATH, Protocol,
    form::{self, Spelling},
    matching, matching_raw, topic,
};

use crate::{
    common::Engine,
    support::{FORBIDDEN, NOT_UTF8, bare_post, nothing_more},
};

pub(crate) async fn p01_a_charset_parameter_is_fine(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.publisher().may_publish(&["*"]).mint();
    for media_type in [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded;charset=UTF-8",
        "application/x-www-form-urlencoded; charset=utf-8",
        "Application/X-WWW-Form-Urlencoded ; Charset=\"utf-8\"",
    ] {
        let request = hub.request("POST", HUB_PATH).bearer(&token).header("Content-Type", media_type);
        let answer = request.body("topic=a").send().await;
        assert_eq!(answer.status, 200, "{media_type}: {answer:?}");
    }
}

pub(crate) async fn p01_another_media_type_is_refused(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    let token = hub.publisher().may_publish(&["*"]).mint();
    let request = || hub.request("POST", HUB_PATH).bearer(&token).body("topic=a");
    for media_type in [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencodedx",
        "x-www-form-urlencoded",
        "",
    ] {
        let answer = request().header("Content-Type", media_type).send().await;
        assert!([400, 415].contains(&answer.status), "{media_type}: {answer:?}");
    }
    let answer = request().send().await;
    assert!([400, 415].contains(&answer.status), "without a media type: {answer:?}");
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn p01_unknown_fields_are_ignored(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    hub.post_form("x=1&Topic=b&DATA=no&topic=a&%00=%01&data=yes&Private&y").send().await.expect(200);
    assert_eq!(stream.next_data().await, "yes");
}

pub(crate) async fn p01_every_spelling_of_a_form_is_read(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a b+c&d=e;f%\u{20ac}")).await;
    for spelling in [Spelling::Escaped, Spelling::Plus, Spelling::Everything] {
        let pairs = [("topic", "a b+c&d=e;f%\u{20ac}"), ("data", "x y+z\n%41")];
        hub.post_form(form::encode_as(spelling, pairs)).send().await.expect(200);
        assert_eq!(stream.next_data().await, "x y+z\n%41", "{spelling:?}");
    }
    hub.post_form("topic=a b%2Bc%26d=e;f%€&data=raw").send().await.expect(200);
    assert_eq!(stream.next_data().await, "raw");
}

pub(crate) async fn p02_the_answer_is_the_id_and_nothing_else(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let answer = hub.publish("a", "1").id("urn:x:mine").over(protocol).answer().await.expect(200);
        assert_eq!(answer.required("content-type").to_ascii_lowercase(), "text/plain; charset=utf-8");
        assert_eq!(answer.text(), "urn:x:mine");
        assert_eq!(stream.next().await.id, "urn:x:mine");
        let made = hub.publish("a", "2").over(protocol).answer().await.expect(200);
        assert_eq!(stream.next().await.id, made.text());
    }
}

pub(crate) async fn p03_a_topic_is_needed(engine: Engine) {
    let hub = engine.hub().await;
    for form in ["", "data=1", "Topic=a", "topics=a", "topic[]=a"] {
        assert_eq!(hub.post_form(form).send().await.status, 400, "{form:?}");
    }
    // In the body, that is.
    let token = hub.publisher().may_publish(&["*"]).mint();
    let request = hub.request("POST", &format!("{HUB_PATH}?topic=a")).bearer(&token);
    request.form("data=1").send().await.expect(400);
}

pub(crate) async fn p03_every_topic_is_published(engine: Engine) {
    let hub = engine.hub().await;
    let mut streams = Vec::new();
    for name in ["a", "b", "c"] {
        streams.push(hub.subscribe(matching(name)).await);
    }
    let id = hub.publish(topic("a").and("b").and("c").and("a"), "1").await;
    for stream in &mut streams {
        assert_eq!(stream.next().await.id, id);
    }
}

pub(crate) async fn p07_data_is_opaque_utf8(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for bytes in NOT_UTF8 {
        assert_eq!(hub.post_form(format!("topic=a&data={bytes}")).send().await.status, 400, "{bytes}");
    }
    let data: String = FORBIDDEN.iter().filter(|character| **character != '\r').collect();
    hub.publish("a", &data).await;
    assert_eq!(stream.next_data().await, data, "what no topic may contain, data may");
}

pub(crate) async fn p08_private_is_a_matter_of_presence(engine: Engine) {
    let hub = engine.hub().await;
    let mut reader = hub.subscribe(matching("a")).granted(&["a"]).await;
    let mut stranger = hub.subscribe(matching("a")).granted_nothing().await;
    for field in ["private", "private=", "private=off", "private=0", "private=false", "private=on&private="] {
        hub.post_form(format!("topic=a&data=1&{field}")).send().await.expect(200);
        assert_eq!(reader.next_data().await, "1", "{field}");
    }
    nothing_more(&hub, &mut stranger, "a").await;
}

pub(crate) async fn p09_an_id_is_taken_as_it_is(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for id in [
        "1",
        "urn:uuid:7d3f",
        "https://example.com/1?a=b#c",
        "a b",
        "Earliest",
        "earliest ",
        "x#",
        "\u{20ac}",
        "%00",
    ] {
        assert_eq!(hub.publish("a", "").id(id).await, id);
        assert_eq!(stream.next().await.id, id);
    }
}

pub(crate) async fn p09_reserved_and_unclean_ids_are_refused(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for id in ["#", "#x", "earliest"] {
        assert_eq!(hub.publish("a", "").id(id).answer().await.status, 400, "{id:?}");
    }
    for character in FORBIDDEN {
        let answer = hub.publish("a", "").id(&format!("x{character}y")).answer().await;
        assert_eq!(answer.status, 400, "U+{:04X}", u32::from(character));
    }
    for bytes in NOT_UTF8 {
        assert_eq!(hub.post_form(format!("topic=a&id={bytes}")).send().await.status, 400, "{bytes}");
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn p09_a_made_id_tells_nothing(engine: Engine) {
    let hub = engine.hub().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let id = hub.publish("a", "").await;
        let uuid = id.strip_prefix("urn:uuid:").expect("an IRI of the form urn:uuid:");
        let parts: Vec<&str> = uuid.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{id}");
        assert!(
            parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']),
            "{id} is not random (v4)"
        );
        ids.push(id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20, "ids are doubled");
}

pub(crate) async fn p10_a_type_is_delivered_and_checked(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for kind in ["tick", "a b", "\u{20ac}", "x:y", "mercurex"] {
        hub.publish("a", "").kind(kind).await;
        assert_eq!(stream.next().await.kind, kind);
    }
    hub.publish("a", "").kind("mercure").answer().await.expect(400);
    for character in FORBIDDEN {
        let answer = hub.publish("a", "").kind(&format!("x{character}y")).answer().await;
        assert_eq!(answer.status, 400, "U+{:04X}", u32::from(character));
    }
    for bytes in NOT_UTF8 {
        assert_eq!(hub.post_form(format!("topic=a&type={bytes}")).send().await.status, 400, "{bytes}");
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn p11_retry_is_ascii_digits(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for (retry, milliseconds) in [("0", 0), ("1500", 1500), ("007", 7), ("86400000", 86_400_000)] {
        hub.publish("a", "").field("retry", retry).await;
        assert_eq!(stream.next().await.retry_ms, Some(milliseconds), "{retry}");
    }
    for retry in ["x", "1x", "-1", "+1", " 1", "1 ", "1.5", "1e3", "0x1", "\u{661}", "\u{ff11}", "1\n", "1\0"]
    {
        let answer = hub.publish("a", "").field("retry", retry).answer().await;
        assert_eq!(answer.status, 400, "{retry:?}");
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn p13_updates_without_a_token_are_taken_only_when_told_so(engine: Engine) {
    let closed_network = AuthConfig { anonymous: true, anonymous_publish: true, ..AuthConfig::default() };
    let hub = engine.hub_with(|config| config.auth = closed_network).await;
    let mut stream = hub.subscribe(matching_raw("match=a")).without_token().await;
    bare_post(&hub).send().await.expect(200);
    assert_eq!(stream.next_data().await, "1");
    hub.publish("mercure", "").without_token().answer().await.expect(400);
    let careful = engine.hub().await;
    assert_eq!(bare_post(&careful).send().await.status, 401);
}
