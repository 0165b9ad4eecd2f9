use super::*;
use crate::Update;

fn entry(data: String) -> Append {
    let update = Update::from_stored("urn:x:1".into(), vec!["t".into()], data, false, None, None);
    Append { update: Arc::new(update), presence: None }
}

#[tokio::test]
async fn a_tail_behind_the_ring_is_told_and_goes_on_after_the_gap() {
    let transport = LocalTransport::new();
    let mut tail = transport.tail(Position::START);
    let big = "x".repeat(RING_BYTES / 4);
    for _ in 0..8 {
        transport.append(AttemptId::new(), vec![entry(big.clone())]).await.expect("append");
    }
    let error = tail.next().await.expect_err("it must be told");
    assert_eq!(error.kind(), ErrorKind::Overtaken);
    let events = tail.next().await.expect("it goes on");
    assert!(events[0].position.0 > 1, "the gap was not skipped");
}

#[tokio::test]
async fn r07_the_ring_answers_no_cursor() {
    let transport = LocalTransport::new();
    transport.append(AttemptId::new(), vec![entry("a".into())]).await.expect("append");
    assert_eq!(transport.find("urn:x:1").await.expect("find"), None);
    assert_eq!(transport.head().await.expect("head").id.as_deref(), Some("urn:x:1"));
}
