//! A log on a cluster: all of it in one slot, wherever that is.

use petasos_hub::transport::{Position, Transport};
use petasos_testkit::{
    patiently,
    process::free_address,
    servers::{EngineServer, find, redis::RedisServer},
};

use crate::{LOOK_AGAIN, append, append_at_last, follow_until, ids, kept_ids, open};

/// Nodes that keep a third of the slots each.
async fn cluster() -> Vec<RedisServer> {
    let nodes: Vec<_> = (0..3)
        .map(|_| {
            let bus = free_address().port().to_string();
            RedisServer::start_with(|_| {
                ["--cluster-enabled", "yes", "--cluster-port", &bus, "--appendonly", "yes"]
                    .map(str::to_owned)
                    .to_vec()
            })
        })
        .collect();
    let mut arguments = vec!["--cluster".to_owned(), "create".to_owned()];
    arguments.extend(nodes.iter().map(|node| node.address().to_string()));
    arguments.push("--cluster-yes".to_owned());
    redis_cli(&arguments);
    for node in &nodes {
        patiently("the cluster to agree", async {
            while !node.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }
    nodes
}

fn redis_cli(arguments: &[String]) {
    let output = std::process::Command::new(find("redis-cli")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The node that keeps the log.
fn owner<'a>(nodes: &'a [RedisServer], log: &str) -> &'a RedisServer {
    let key = format!("{{{log}}}:log");
    let slot: u16 = nodes[0].command(&["CLUSTER", "KEYSLOT", &key]).parse().unwrap();
    nodes
        .iter()
        .find(|node| node.command(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]) != "0")
        .expect("somebody has its keys")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slot_of_a_log_is_found_and_followed() {
    let nodes = cluster().await;
    // Whichever node is named, and for slots of all of them.
    for (index, node) in nodes.iter().enumerate() {
        let log = open(&node.url(&format!("log{index}"))).await;
        append(&log, "a").await;
        assert_eq!(kept_ids(&log).await, ["a"]);
        log.close().await;
    }
    let hosts: Vec<_> = nodes.iter().map(|node| node.address().to_string()).collect();
    let log = open(&format!("redis://{}?prefix=moving", hosts.join(","))).await;
    let mut tail = log.tail(Position::START);
    let last = append(&log, "before").await;
    follow_until(&mut *tail, "before").await;
    let from = owner(&nodes, "moving");
    let to = nodes.iter().find(|node| node.address() != from.address()).unwrap();
    let (from_id, to_id) = (from.command(&["CLUSTER", "MYID"]), to.command(&["CLUSTER", "MYID"]));
    let reshard = [
        "--cluster".to_owned(),
        "reshard".to_owned(),
        from.address().to_string(),
        "--cluster-from".to_owned(),
        from_id,
        "--cluster-to".to_owned(),
        to_id,
        "--cluster-slots".to_owned(),
        "16384".to_owned(),
        "--cluster-yes".to_owned(),
    ];
    tokio::task::spawn_blocking(move || redis_cli(&reshard)).await.unwrap();
    assert_eq!(owner(&nodes, "moving").address(), to.address());
    assert!(append_at_last(&log, "after").await > last);
    let (seen, overtaken) = follow_until(&mut *tail, "after").await;
    assert_eq!((ids(&seen), overtaken), (vec!["after".to_owned()], 0));
    assert_eq!(kept_ids(&log).await, ["before", "after"]);
    log.close().await;
}
