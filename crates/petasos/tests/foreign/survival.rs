//! What every client must come through: heartbeats, large events, a hub that is killed, and one that is restarted.

use petasos_testkit::{matching, sse::Item};

use crate::{
    driver::{Driver, event},
    hub::Hubs,
};

/// The topic of all updates.
pub(crate) const TOPIC: &str = "https://example.com/books/{1}?a=b&c=d";

/// How long clients wait before they reconnect: what they do by themselves takes seconds. The polyfill makes a second of
/// anything less.
const RETRY_MS: &str = "250";

/// A line of a large event. Long lines are beyond the limit of one of the libraries.
const LINE_BYTES: usize = 1_000;

/// Lines of a large event: larger than any buffer on its way (C03).
const LINES: usize = 400;

/// Publishes to a client that subscribes to [`TOPIC`], and makes its hub vanish under it. It listens to events of the type
/// `odd` too.
pub(crate) async fn survives(client: &mut Driver, hubs: &mut Hubs) {
    client.expect("open").await;
    let first = hubs.publish(TOPIC, "first", &[("retry", RETRY_MS)]).await;
    assert_eq!(client.expect("event").await, event(&first, "message", "first"));

    // C02: this stream is like the client's, so that it has had heartbeats too; they are no events.
    let token = hubs.new_subscriber().mint();
    let mut witness = hubs.hub().subscribe(matching(TOPIC)).with_token(&token).await;
    for _ in 0..3 {
        assert!(matches!(witness.next_item().await, Ok(Item::Comment(_))));
    }
    let odd = "une ligne: à é ✓ 😀\u{2028}\u{feff}\n\n: no comment\ndata: no field\nthe end";
    let id = hubs.publish(TOPIC, odd, &[("type", "odd"), ("id", "urn:x:Ä 1+1&2=3")]).await;
    assert_eq!(client.expect("event").await, event(&id, "odd", odd));
    let large = vec!["x".repeat(LINE_BYTES); LINES].join("\n");
    let id = hubs.publish(TOPIC, &large, &[]).await;
    let seen = client.expect("event").await;
    assert!(seen == event(&id, "message", &large), "C03: a large event came otherwise than it was");

    // R01, C05: killed, and started again on the same store and port.
    hubs.kill().await;
    let missed = [hubs.publish_elsewhere(TOPIC, "missed").await, hubs.publish_elsewhere(TOPIC, "too").await];
    hubs.start_again().await;
    assert_eq!(client.expect("event").await, event(&missed[0], "message", "missed"));
    assert_eq!(client.expect("event").await, event(&missed[1], "message", "too"));
    let live = hubs.publish(TOPIC, "live", &[]).await;
    assert_eq!(client.expect("event").await, event(&live, "message", "live"));

    // C01, S13: streams end cleanly, and whoever comes back meets a closed port, never a status.
    hubs.drain().await;
    let missed = hubs.publish_elsewhere(TOPIC, "missed again").await;
    hubs.start_again().await;
    assert_eq!(client.expect("event").await, event(&missed, "message", "missed again"));

    // The same while another process listens already: whoever comes back meets that one.
    hubs.roll().await;
    let rolled = hubs.publish(TOPIC, "rolled", &[]).await;
    assert_eq!(client.expect("event").await, event(&rolled, "message", "rolled"));
    let last = hubs.publish(TOPIC, "last", &[]).await;
    assert_eq!(client.expect("event").await, event(&last, "message", "last"));
}
