//! The dashboard and the rules of the chart against `/metrics`.

use std::{collections::BTreeSet, fs, path::Path};

use petasos_testkit::{HUB_PATH, matching, topic};

use crate::common::Engine;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/petasos");

/// What Prometheus makes of a histogram.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// Every name of a metric in a text: the families of ours have three prefixes, which nothing else in these files has.
fn asked_for(file: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(CHART).join(file)).unwrap();
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !is_part(character));
    let named =
        |word: &&str| ["mercure_", "petasos_", "process_"].iter().any(|prefix| word.starts_with(prefix));
    words.filter(named).map(str::to_owned).collect()
}

/// The metrics of a hub by the names of their samples.
async fn there_are() -> BTreeSet<String> {
    let hub = Engine::Sqlite.hub().await;
    // Some families have samples only after something has happened.
    let stream = hub.subscribe(matching("a")).await;
    hub.publish(topic("a"), "1").await;
    drop(stream);
    hub.get(HUB_PATH).send().await.expect(401);
    let answer = hub.admin_get("/metrics").await.expect(200);
    let mut names = BTreeSet::new();
    for line in answer.text().lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["#", "TYPE", name, "histogram"] => {
                names.extend(OF_HISTOGRAMS.map(|suffix| format!("{name}{suffix}")));
            }
            ["#", "TYPE", name, _] => drop(names.insert(name.to_owned())),
            _ => {}
        }
    }
    names
}

#[tokio::test]
async fn every_metric_of_the_dashboard_and_the_rules_is_there() {
    let there_are = there_are().await;
    for (file, at_least) in [("dashboards/petasos.json", 20), ("rules/petasos.yaml", 8)] {
        let asked_for = asked_for(file);
        assert!(asked_for.len() >= at_least, "{file} asks for little: {asked_for:?}");
        let missing: Vec<&String> = asked_for.difference(&there_are).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}; there are {there_are:?}");
    }
}

#[tokio::test]
async fn the_dashboard_shows_every_metric_of_the_hub() {
    let shown = asked_for("dashboards/petasos.json");
    let hidden: Vec<String> = there_are()
        .await
        .into_iter()
        .filter(|name| !shown.contains(name) && !name.ends_with("_count") && !name.ends_with("_sum"))
        .collect();
    assert_eq!(hidden, Vec::<String>::new(), "metrics that no panel shows");
}

#[test]
fn the_dashboard_has_valid_panels_that_do_not_overlap() {
    let text = fs::read_to_string(Path::new(CHART).join("dashboards/petasos.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{} has the id of another panel", panel["title"]);
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            assert!(x < 24, "{} is wider than the dashboard", panel["title"]);
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} lies on another panel", panel["title"]);
            }
        }
    }
}
