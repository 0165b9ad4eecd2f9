//! Moving a history from one engine to another: `petasos history export` from here, `import` there. Ids, order, data and
//! times are kept, and a client goes on with its cursor.

use petasos_testkit::{Publish, TestHub, matching, node::Node};
use serde_json::Value;

use crate::{
    cluster::{Cluster, history_of, petasos},
    common::count_from_environment,
    engine::Engine,
};

/// Events that are moved: more than go into one append of an import.
const MOVED_EVENTS: usize = 1_100;

/// The newest of them are of every kind.
const KINDS: usize = 6;

const TOPIC: &str = "https://example.com/moving";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_moves_between_any_two_engines() {
    let mut clusters = Vec::new();
    for engine in Engine::ALL {
        clusters.push(Cluster::without_nodes(engine).await);
    }
    let directory = petasos_testkit::process::scratch();
    let original = directory.path().join("original.jsonl");
    let history = {
        let source = Cluster::without_nodes(Engine::Sqlite).await;
        let node = Node::start(source.options(0, &[])).await;
        fill(&node.hub()).await;
        assert!(node.terminate().await.success());
        std::fs::write(&original, petasos(&source.url(), &["history", "export"]).await).unwrap();
        source.history().await
    };
    assert_eq!(history.len(), count_from_environment("MOVED_EVENTS", MOVED_EVENTS));
    for (number, from) in clusters.iter().enumerate() {
        let begin = from.url_of(&format!("from{number}"));
        petasos(&begin, &["history", "import", original.to_str().unwrap()]).await;
        assert_same(&history, &history_of(&begin).await, &format!("sqlite to {}", from.engine.name()));
        for (place, to) in clusters.iter().enumerate().filter(|(place, _)| *place != number) {
            let what = format!("{} to {}", from.engine.name(), to.engine.name());
            let file = directory.path().join(format!("{number}to{place}.jsonl"));
            std::fs::write(&file, petasos(&begin, &["history", "export"]).await).unwrap();
            let end = to.url_of(&format!("from{number}to{place}"));
            petasos(&end, &["history", "import", file.to_str().unwrap()]).await;
            assert_same(&history, &history_of(&end).await, &what);
            a_client_goes_on(to, &end, &history, &what).await;
            println!("{what}: {} events moved, ids, order, data and times kept", history.len());
        }
    }
}

/// A client that was at some event of the old log goes on behind it on the new one.
async fn a_client_goes_on(to: &Cluster, url: &str, history: &[Value], what: &str) {
    let node = Node::start(to.options(0, &[("PETASOS_TRANSPORT_URL", url)])).await;
    let hub = node.hub();
    for back in [KINDS + 3, history.len()] {
        let place = history.len() - back;
        let cursor = history[place]["id"].as_str().unwrap();
        let mut stream = hub.subscribe(matching(TOPIC)).after(cursor).await;
        assert_eq!(stream.cursor(), cursor, "{what}: a cursor of the old log is known");
        for line in &history[place + 1..] {
            let event = stream.next().await;
            assert_eq!(event.id, line["id"], "{what}");
            assert_eq!(event.data, line["data"], "{what}");
        }
    }
    let newest = history[history.len() - 1]["id"].as_str().unwrap();
    let mut stream = hub.subscribe(matching(TOPIC)).after(newest).await;
    let id = hub.publish(TOPIC, "new").await;
    assert_eq!(stream.next().await.id, id, "{what}: the log goes on");
    assert!(node.terminate().await.success());
}

/// Events of every kind, behind many that are alike.
async fn fill(hub: &TestHub) {
    let all = count_from_environment("MOVED_EVENTS", MOVED_EVENTS);
    let many: Vec<_> = (0..all - KINDS).collect();
    for chunk in many.chunks(50) {
        let publishing =
            chunk.iter().map(|number| async move { hub.publish(TOPIC, &format!("data {number}")).await });
        futures_util::future::join_all(publishing).await;
    }
    let kinds: [Publish<'_>; KINDS] = [
        hub.publish(TOPIC, "lines\nof\n\ndata\n"),
        hub.publish(TOPIC, "").private(),
        hub.publish(TOPIC, "typed").kind("a type").field("retry", "1234"),
        hub.publish(TOPIC, "\u{1f980} \u{0} end").id("urn:x:\u{e9}"),
        hub.publish(TOPIC, "more topics")
            .field("topic", "https://example.com/second")
            .field("topic", "third"),
        hub.publish(TOPIC, &"large ".repeat(20_000)),
    ];
    for publish in kinds {
        publish.await;
    }
}

#[track_caller]
fn assert_same(expected: &[Value], found: &[Value], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected, "{what}");
    }
}
