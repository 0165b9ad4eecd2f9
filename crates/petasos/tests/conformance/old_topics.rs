//! L01: `topic` parameters.

use petasos_testkit::{TestHub, form, matching, matching_pattern, matching_raw, matching_topic, topic};

use crate::{
    common::Engine,
    support::{FORBIDDEN, NOT_UTF8, nothing_more},
};

/// Asserts which topics a selector selects, with one stream: the topics that are published and do not come are skipped.
async fn assert_selects(hub: &TestHub, selector: &str, selected: &[&str], others: &[&str]) {
    let mut stream = hub.subscribe(matching_topic(selector).or(matching("end"))).await;
    for (name, is_selected) in
        others.iter().map(|name| (name, false)).chain(selected.iter().map(|name| (name, true)))
    {
        hub.publish(topic(*name), name).await;
        if is_selected {
            assert_eq!(
                stream.next_data().await,
                *name,
                "{selector} should select {name} and nothing before it"
            );
        }
    }
    nothing_more(hub, &mut stream, "end").await;
}

pub(crate) async fn l01_a_topic_matches_by_equality(engine: Engine) {
    let hub = engine.hub().await;
    for name in [
        "a",
        "https://example.com/books/1",
        "https://EXAMPLE.com:443/./%61?x#y",
        "caf\u{e9} \u{1f6b2}",
        "(",
        ":id",
    ] {
        assert_selects(
            &hub,
            name,
            &[name],
            &["b", "https://example.com/books/2", "https://example.com/%61?x#y"],
        )
        .await;
    }
}

pub(crate) async fn l01_a_topic_matches_by_template_on_all_levels(engine: Engine) {
    let hub = engine.hub().await;
    for (selector, selected, others) in [
        (
            "https://example.com/books/{id}",
            &[
                "https://example.com/books/1",
                "https://example.com/books/%C3%A9",
                "https://example.com/books/{id}",
            ][..],
            &["https://example.com/books/1/2", "https://example.com/books", "https://example.org/books/1"][..],
        ),
        ("/{+path}", &["/a/b?c=d"], &["a", "/\u{e9}"]),
        ("/a{#part}", &["/a", "/a#b/c"], &["/a/b"]),
        ("file{.type}", &["file", "file.txt"], &["filetxt"]),
        ("/x{/a,b}", &["/x", "/x/1", "/x/1/2"], &["/x/1/2/3", "/x1"]),
        ("/y{;a,b}", &["/y", "/y;a=1;b"], &["/y;c=1", "/y;"]),
        ("/z{?a,b}", &["/z", "/z?a=1", "/z?a=1&b=2"], &["/z?c=1", "/z?b=2&a=1"]),
        ("/w?x=1{&a*}", &["/w?x=1", "/w?x=1&b=2&c=3"], &["/w?x=1&", "/w"]),
        ("/{id:3}", &["/1", "/123"], &["/1234"]),
        ("{a,b}-{c*}", &["1,2-3,4"], &["1/2-3"]),
    ] {
        assert_selects(&hub, selector, selected, others).await;
    }
}

pub(crate) async fn l01_a_topic_of_a_star_matches_everything(engine: Engine) {
    let hub = engine.hub().await;
    assert_selects(&hub, "*", &["a", "https://[", "\u{e9} ", "/a/b?c"], &[]).await;
}

pub(crate) async fn l01_a_malformed_template_matches_by_equality_only(engine: Engine) {
    let hub = engine.hub().await;
    for selector in ["/a/{", "/a/{}", "/a/}", "/a/{=b}", "/a/{b", "/a b/{c}"] {
        assert_selects(&hub, selector, &[selector], &["/a/", "/a/b", "/a b/c"]).await;
    }
}

pub(crate) async fn l01_selectors_stand_beside_matchers_and_an_update_comes_once(engine: Engine) {
    let hub = engine.hub().await;
    let matchers = matching_topic("a")
        .or(matching("a"))
        .or(matching_topic("{x}"))
        .or(matching_topic("{x}"))
        .or(matching_pattern("/:y"))
        .or(matching("b"));
    let mut stream = hub.subscribe(matchers).await;
    hub.publish(topic("a").and("b").and("/c"), "1").await;
    hub.publish("b", "2").await;
    hub.publish("/c", "3").await;
    hub.publish("/c/d", "not this").await;
    assert_eq!(stream.next_data_of(3).await, ["1", "2", "3"]);
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn l01_topics_may_stand_in_the_body_of_a_query(engine: Engine) {
    let hub = engine.hub().await;
    let body = form::encode([("topic", "/books/{id}")]);
    let mut stream = hub.subscribe(matching_topic("a")).with_body(body).await;
    hub.publish("/books/1", "1").await;
    assert_eq!(stream.next_data().await, "1");
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn l01_the_history_is_selected_as_the_present_is(engine: Engine) {
    let hub = engine.hub().await;
    let mut data = Vec::new();
    for number in 0..50 {
        let (books, authors) = (format!("https://example.com/books/{number}"), format!("/authors/{number}"));
        hub.publish(topic(books), &number.to_string()).await;
        hub.publish(topic(authors), "another").await;
        data.push(number.to_string());
    }
    for selectors in [
        matching_topic("https://example.com/books/{id}"),
        matching_topic("https://example.com{/path*}"),
        (0..50).fold(matching_topic("end"), |all, n| {
            all.or(matching_topic(&format!("https://example.com/books/{n}")))
        }),
    ] {
        let mut stream = hub.subscribe(selectors.or(matching("end"))).after("earliest").await;
        if hub.has_history() {
            assert_eq!(stream.next_data_of(50).await, data);
        }
        nothing_more(&hub, &mut stream, "end").await;
    }
}

pub(crate) async fn l01_selectors_are_checked_and_limited_as_matchers_are(engine: Engine) {
    let hub = engine.hub_with(|config| config.http.limits.matchers = 3).await;
    for character in FORBIDDEN {
        let query = form::encode([("topic", format!("/{{a}}/{character}").as_str())]);
        let answer = hub.subscribe(matching_raw(query)).answer().await.expect(400);
        assert_eq!(answer.text().lines().next(), Some("invalid_matcher"));
    }
    for value in NOT_UTF8 {
        hub.subscribe(matching_raw(format!("topic={value}"))).answer().await.expect(400);
    }
    let long = "x".repeat((8 << 10) + 1);
    hub.subscribe(matching_topic(&long)).answer().await.expect(400);
    hub.subscribe(matching_topic(&"{a}".repeat(257))).answer().await.expect(400);
    let many = |count| matching_raw(form::encode((0..count).map(|_| ("topic", "{a}"))));
    hub.subscribe(many(3)).await;
    let answer = hub.subscribe(many(2).or(matching("a")).or(matching("b"))).answer().await.expect(400);
    assert_eq!(answer.text().lines().next(), Some("too_many_matchers"));
    hub.subscribe(matching_raw("Topic=a")).answer().await.expect(400);
}
