//! The write path: order between writers, groups whose answers are lost, and groups that come too late.

use std::collections::HashSet;

use futures_util::future::join_all;
use petasos_testkit::proxy::Proxy;
use uuid::Uuid;

use super::{
    super::{
        connect::{Fault, Session},
        error::FENCED,
        group::{self, Sender},
    },
    *,
};
use crate::transport::{NodeId, PresenceChange};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_become_visible_in_order_while_four_connections_append() {
    const EACH: usize = 150;
    let (_, _, config) = shared();
    let writers = join_all((0..4).map(|_| open(&config))).await;
    let session = Session::open(&config, None).await.expect("a session");
    let following = tokio::spawn({
        let sql = format!(
            "SELECT position FROM {}.events WHERE position > $1 ORDER BY position",
            config.quoted_schema()
        );
        async move {
            let mut last = 0_i64;
            while last < 4 * EACH as i64 {
                for row in session.client.query(&sql, &[&last]).await.expect("rows") {
                    let position: i64 = row.get(0);
                    assert_eq!(position, last + 1, "a gap, which something may fill later");
                    last = position;
                }
            }
        }
    });
    let appends = writers.iter().enumerate().flat_map(|(number, log)| {
        (0..EACH).map(move |index| log.append(AttemptId::new(), vec![entry(&format!("{number}-{index}"))]))
    });
    for stored in patiently("the appends", join_all(appends)).await {
        stored.expect("an append");
    }
    patiently("the follower", following).await.expect("no gap");
    assert_eq!(ids(&writers[0]).await.len(), 4 * EACH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_answer_was_lost_is_acknowledged_and_stored_once() {
    let (server, log, config) = shared();
    let proxy = Proxy::start(server.address()).await;
    let transport = open(&through(server, proxy.address(), &log)).await;
    let mut tail = transport.tail(Position::START);
    append(&transport, "before").await;
    proxy.drop_replies();
    let attempt = AttemptId::new();
    let call = transport.append(attempt, vec![entry("lost"), entry("lost too")]);
    let count = format!("SELECT count(*) FROM {}.events", config.quoted_schema());
    until("the group to be stored", || server.query(&count) == "3").await;
    proxy.cut();
    proxy.go_on();
    assert_eq!(patiently("the answer", call).await.expect("stored"), Some(Position(3)));
    let again = transport.append(attempt, vec![entry("lost"), entry("lost too")]);
    assert_eq!(patiently("the answer", again).await.expect("stored"), Some(Position(3)));
    append(&transport, "after").await;
    let expected = ["before", "lost", "lost too", "after"];
    assert_eq!(ids(&transport).await, expected);
    assert_eq!(follow(&mut tail, 4).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_a_no_op_stays_one_when_its_answer_was_lost() {
    let (server, log, config) = shared();
    let proxy = Proxy::start(server.address()).await;
    let transport = open(&through(server, proxy.address(), &log)).await;
    let record = SubscriptionRecord {
        node: NodeId::random(),
        subscriber: "s".into(),
        match_type: crate::topic::MatchType::Exact,
        match_value: "a".into(),
        payload: None,
    };
    let end = |id| Append { presence: Some(PresenceChange::End(record.clone())), ..entry(id) };
    append(&transport, "before").await;
    proxy.drop_replies();
    let ended = transport.append(AttemptId::new(), vec![end("of nothing")]);
    let stored = transport.append(AttemptId::new(), vec![entry("a"), end("of nothing too"), entry("b")]);
    let count = format!("SELECT count(*) FROM {}.events", config.quoted_schema());
    until("the groups to be stored", || server.query(&count) == "3").await;
    proxy.cut();
    proxy.go_on();
    assert_eq!(patiently("the answer", ended).await.expect("nothing"), None);
    assert_eq!(patiently("the answer", stored).await.expect("stored"), Some(Position(3)));
    assert_eq!(ids(&transport).await, ["before", "a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_cut_calls_are_stored_once_and_in_their_order() {
    let (server, log, config) = shared();
    let proxy = Proxy::start(server.address()).await;
    let transport = open(&through(server, proxy.address(), &log)).await;
    let other = open(&config).await;
    let mut tail = other.tail(Position::START);
    let mut acknowledged = Vec::new();
    for round in 0..12 {
        let calls: Vec<_> = (0..40)
            .map(|number| {
                let id = format!("{round}-{number}");
                let call = transport.append(AttemptId::new(), vec![entry(&id)]);
                async move { (id, call.await) }
            })
            .collect();
        let calls = tokio::spawn(join_all(calls));
        // At another moment each time.
        tokio::time::sleep(Duration::from_micros(300 * round)).await;
        proxy.cut();
        for (id, outcome) in patiently("the answers", calls).await.expect("the calls") {
            match outcome {
                Ok(position) => acknowledged.push((position.expect("a position"), id)),
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    }
    let last = append_at_last(&transport, "last").await;
    let stored = ids(&transport).await;
    assert_eq!(stored.len(), stored.iter().collect::<HashSet<_>>().len(), "something is stored twice");
    for (position, id) in &acknowledged {
        assert_eq!(&stored[position.0 as usize - 1], id);
    }
    assert!(acknowledged.is_sorted(), "calls are not in their order");
    assert!(acknowledged.len() > 100, "only {} of 480 were acknowledged", acknowledged.len());
    assert_eq!(stored.len() as u64, last.0);
    assert_eq!(follow(&mut tail, stored.len()).await, stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_an_earlier_session_and_one_out_of_its_turn_are_refused() {
    let (_, _, config) = shared();
    let transport = open(&config).await;
    let (old, new) = (Session::open(&config, None).await, Session::open(&config, None).await);
    let (old, new) = (old.expect("a session"), new.expect("a session"));
    let (writer, first, second) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let sql = &transport.store.sql;
    for (session, token) in [(&old, first), (&new, second)] {
        session.client.query(&sql.begin, &[&writer, &token]).await.expect("a session");
    }
    let entries = [entry("late")];
    for (session, token, sequence) in [(&old, first, 1), (&new, second, 2), (&new, second, 0)] {
        let sender = Sender { writer, session: token, sequence };
        let refused = group::append(session, sql, Some(sender), None, &entries, &[1]).await;
        let Err(Fault::Engine(error)) = refused else { panic!("it was stored: {refused:?}") };
        assert_eq!(error.code().map(|code| code.code()), Some(FENCED));
    }
    let sender = Sender { writer, session: second, sequence: 1 };
    group::append(&new, sql, Some(sender), None, &entries, &[1]).await.expect("it is its turn");
    assert_eq!(ids(&transport).await, ["late"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_cannot_be_stored_takes_no_other_with_it() {
    let (server, log, config) = shared();
    let transport = open(&config).await;
    // Nothing that a hub accepts is refused by the tables as they are.
    server.query(&format!("ALTER TABLE {log}.events ADD CHECK (id <> 'poison')"));
    server.query(&format!(
        "CREATE FUNCTION {log}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.id = 'poison' THEN RAISE EXCEPTION 'too large' USING ERRCODE = '22001'; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON {log}.events FOR EACH ROW EXECUTE FUNCTION {log}.refuse()"
    ));
    let calls = ["a", "b", "poison", "c"].map(|id| transport.append(AttemptId::new(), vec![entry(id)]));
    let outcomes = patiently("the answers", join_all(calls)).await;
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    assert_eq!(outcomes[2].as_ref().map_err(TransportError::kind), Err(ErrorKind::Invalid));
    assert_eq!(ids(&transport).await, ["a", "b", "c"]);
}
