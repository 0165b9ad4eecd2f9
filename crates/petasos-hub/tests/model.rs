//! A hub against its model: random publishes, subscriptions, resumptions and disconnections, on every engine. Every
//! subscriber gets exactly the updates that it may have, once, in order.

#![allow(clippy::unwrap_used)]

mod common;

use petasos_hub::Draft;
use petasos_testkit::{
    contract::Log,
    model::{ModelHub, ModelSubscriber, ModelUpdate, Selector},
};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::common::{LibraryHub, Reader, Sink, WAYS};

/// How many stories each engine lives through.
const STORIES: u32 = 150;

/// Every subscriber asks for this topic as well; it ends a story.
const THE_END: &str = "the end";

const TOPICS: [&str; 7] = [
    "a",
    "b",
    "https://example.com/x/1",
    "https://example.com/x/2",
    "https://example.com/x/1/deep",
    "https://example.com/y/1",
    "http://[not a URL",
];

/// One thing that happens. Indices are taken modulo what is there.
#[derive(Clone, Debug)]
enum Step {
    Publish {
        topics: Vec<usize>,
        private: bool,
        id: Option<u8>,
    },
    Subscribe {
        matchers: Vec<usize>,
        grants: Vec<usize>,
        cursor: Cursor,
    },
    /// Reads all that is due.
    Read(usize),
    Disconnect(usize),
    /// Disconnects without reading what is still due, and comes back with the last id that was read.
    Resume(usize),
}

#[derive(Clone, Debug)]
enum Cursor {
    None,
    Empty,
    Earliest,
    Unknown,
    OfUpdate(usize),
}

fn selectors() -> Vec<Selector> {
    let mut selectors = vec![Selector::All];
    selectors.extend(TOPICS.iter().map(|topic| Selector::Exact((*topic).to_owned())));
    for prefix in ["https://example.com/x/", "https://example.com/y/"] {
        selectors.push(Selector::Segment(prefix.to_owned()));
        selectors.push(Selector::Under(prefix.to_owned()));
    }
    selectors.push(Selector::Under("https://example.com/".to_owned()));
    selectors
}

fn step() -> impl Strategy<Value = Step> {
    let topics = prop::collection::vec(any::<usize>(), 1..4);
    // A few ids only, so that they are reused (R05).
    let id = prop_oneof![2 => Just(None), 1 => (0_u8..6).prop_map(Some)];
    let cursor = prop_oneof![
        2 => Just(Cursor::None),
        1 => Just(Cursor::Empty),
        1 => Just(Cursor::Earliest),
        1 => Just(Cursor::Unknown),
        4 => any::<usize>().prop_map(Cursor::OfUpdate),
    ];
    let some = |count| prop::collection::vec(any::<usize>(), count);
    prop_oneof![
        8 => (topics, any::<bool>(), id).prop_map(|(topics, private, id)| Step::Publish { topics, private, id }),
        3 => (some(1..4), some(0..3), cursor)
            .prop_map(|(matchers, grants, cursor)| Step::Subscribe { matchers, grants, cursor }),
        2 => any::<usize>().prop_map(Step::Read),
        1 => any::<usize>().prop_map(Step::Disconnect),
        2 => any::<usize>().prop_map(Step::Resume),
    ]
}

/// A subscriber of both worlds.
struct Pair {
    real: Reader,
    model: ModelSubscriber,
    matchers: Vec<Selector>,
    grants: Vec<Selector>,
    last_id: Option<String>,
}

struct Story {
    hub: LibraryHub,
    model: ModelHub,
    subscribers: Vec<Pair>,
    published: usize,
}

impl Story {
    async fn begin(log: Log, way: (usize, Sink)) -> Self {
        let history = log.info().history;
        Self {
            hub: LibraryHub::start_in(log, way).await,
            model: ModelHub::new(history),
            subscribers: Vec::new(),
            published: 0,
        }
    }

    async fn live(&mut self, step: Step) {
        match step {
            Step::Publish { topics, private, id } => {
                let topics = topics.iter().map(|index| TOPICS[index % TOPICS.len()].to_owned()).collect();
                self.publish(topics, private, id.map(|number| format!("urn:x:{number}"))).await;
            }
            Step::Subscribe { matchers, grants, cursor } => {
                let all = selectors();
                let pick = |indices: &[usize]| -> Vec<Selector> {
                    indices.iter().map(|index| all[index % all.len()].clone()).collect()
                };
                let cursor = self.cursor(&cursor);
                let pair = self.subscribe(pick(&matchers), pick(&grants), cursor).await;
                self.subscribers.push(pair);
            }
            Step::Read(index) => {
                if let Some(index) = self.index(index) {
                    self.read(index).await;
                }
            }
            Step::Disconnect(index) => {
                if let Some(index) = self.index(index) {
                    self.subscribers.swap_remove(index);
                }
            }
            Step::Resume(index) => {
                if let Some(index) = self.index(index) {
                    let Pair { matchers, grants, last_id, .. } = self.subscribers.swap_remove(index);
                    let pair = self.subscribe(matchers, grants, last_id.or(Some("earliest".into()))).await;
                    self.subscribers.push(pair);
                }
            }
        }
    }

    fn index(&self, index: usize) -> Option<usize> {
        (!self.subscribers.is_empty()).then(|| index % self.subscribers.len())
    }

    fn cursor(&self, cursor: &Cursor) -> Option<String> {
        Some(match cursor {
            Cursor::None => return None,
            Cursor::Empty => String::new(),
            Cursor::Earliest => "earliest".to_owned(),
            Cursor::Unknown => "urn:x:never was".to_owned(),
            Cursor::OfUpdate(index) => match self.model.log() {
                [] => "urn:x:never was".to_owned(),
                log => log[index % log.len()].id.clone(),
            },
        })
    }

    async fn publish(&mut self, topics: Vec<String>, private: bool, id: Option<String>) {
        self.published += 1;
        let data = format!("update {}", self.published);
        let draft = Draft {
            topics: topics.clone(),
            data: Some(data.clone()),
            private,
            id: id.clone(),
            ..Draft::default()
        };
        let answered = self.hub.publish(draft).await.unwrap();
        assert!(id.is_none_or(|id| id == answered));
        self.model.publish(ModelUpdate { id: answered, topics, data, private });
    }

    async fn subscribe(
        &self,
        mut matchers: Vec<Selector>,
        grants: Vec<Selector>,
        cursor: Option<String>,
    ) -> Pair {
        let the_end = Selector::Exact(THE_END.to_owned());
        if !matchers.contains(&the_end) {
            matchers.push(the_end);
        }
        let real = self.hub.subscribe(&matchers, &grants, cursor.as_deref()).await;
        let (model, answered) = self.model.subscribe(&matchers, &grants, cursor.as_deref());
        assert_eq!(real.cursor(), answered.as_deref(), "the answer to the cursor {cursor:?}");
        Pair { real, model, matchers, grants, last_id: None }
    }

    async fn read(&mut self, index: usize) {
        let pair = &mut self.subscribers[index];
        for due in self.model.due(&mut pair.model) {
            let event = pair.real.next().await;
            assert_eq!(
                (event.id.as_str(), event.data.as_str()),
                (due.id.as_str(), due.data.as_str()),
                "matchers {:?}, grants {:?}",
                pair.matchers,
                pair.grants
            );
            pair.last_id = Some(event.id);
        }
    }

    /// After the last update nothing may be left over for anybody.
    async fn end(mut self) {
        self.publish(vec![THE_END.to_owned()], false, None).await;
        for index in 0..self.subscribers.len() {
            self.read(index).await;
        }
        self.subscribers.clear();
        self.hub.stop().await;
    }
}

async fn lives_like_its_model(log: Log, steps: Vec<Step>) {
    let way = WAYS[steps.len() % WAYS.len()];
    let mut story = Story::begin(log, way).await;
    for step in steps {
        story.live(step).await;
    }
    story.end().await;
}

fn stories<K>(open: impl AsyncFn() -> (Log, K)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = ProptestConfig { cases: STORIES, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..60), |steps| {
        runtime.block_on(async {
            let (log, _kept) = open().await;
            lives_like_its_model(log, steps).await;
        });
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn a_hub_in_memory_lives_like_its_model() {
    stories(common::local);
}

#[test]
fn a_hub_on_sqlite_lives_like_its_model() {
    stories(common::sqlite);
}
