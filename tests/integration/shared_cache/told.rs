//! What an operator is told of a store in trouble by the real program: its log, and whether it is
//! ready.

use super::{line, load::Load};
use crate::{
    admin::get,
    facade::eventually,
    program::{Running, aws, serve, simulator},
    redis::Redis,
};
use face_liveness_facade::simulator::Simulator;
use std::{
    fs,
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

/// Sessions asked for by every caller between two changes: each would be a line, were requests
/// told.
const MANY: u32 = 20;

/// The program with the store at `url`, whose key is in `folder`.
async fn replica(url: &str, folder: &Path) -> (Simulator, Running) {
    let key = folder.join("key");
    fs::write(&key, line(1)).expect("the folder can be written");
    let (simulator, endpoint) = simulator().await;
    let key = key.display().to_string();
    let store = ["--shared-cache-url", url, "--shared-cache-key-file", &key, "--shared-cache-timeout", "150ms"];
    let running = serve(&[&store[..], &["--quota-tps", "0", "--access-log", "none"]].concat(), &aws(&endpoint));
    (simulator, running)
}

/// What the log has said of the store so far: the beginning of each sentence, and its reason.
fn told(running: &Running) -> Vec<(String, String)> {
    let log = running.log();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line is JSON"));
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let of_store = lines.filter(|line| line["message"].as_str().is_some_and(|text| text.contains("the shared cache")));
    of_store
        .map(|line| {
            let message = word(&line["message"]);
            (message.split(';').next().unwrap_or_default().to_owned(), word(&line["why"]))
        })
        .collect()
}

async fn has_told(running: &Running, lines: usize) {
    eventually("the log tells of the change", async || told(running).len() >= lines).await;
}

#[tokio::test]
async fn each_change_of_the_store_is_one_line_of_the_log_and_no_request_is() {
    let mut redis = Redis::start().ready();
    let (simulator, running) = replica(&redis.url(), &redis.folder.clone()).await;
    has_told(&running, 1).await;
    let load = Load::on([running.address.clone()], &simulator).await;
    load.further(MANY).await;
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    has_told(&running, 2).await;
    load.further(MANY).await;
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    has_told(&running, 3).await;
    load.further(MANY).await;
    redis.kill();
    has_told(&running, 4).await;
    load.further(MANY).await;
    redis.restart();
    has_told(&running, 5).await;
    load.further(MANY).await;
    let told = told(&running);
    let told: Vec<_> = told.iter().map(|(what, why)| (what.as_str(), why.as_str())).collect();
    let [start, full, emptied, (out_of_use, why), back] = told[..] else { panic!("{told:?}") };
    let in_use = ("the shared cache is available", "");
    assert_eq!([start, emptied, back], [in_use; 3]);
    assert_eq!(full, ("the shared cache is read-only", "it is full (OOM)"));
    assert_eq!(out_of_use, "the shared cache is unavailable");
    assert!(!why.is_empty());
}

#[tokio::test]
async fn a_dead_store_does_not_keep_a_replica_from_becoming_ready() {
    // One port that refuses, and one that takes connections and never says anything.
    let refuses = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let folder = std::env::temp_dir().join(format!("face-liveness-dead-store-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("there is a folder for temporary files");
    for address in [refuses, silent.local_addr().expect("a bound socket has an address")] {
        let (_simulator, running) = replica(&format!("redis://{address}"), &folder).await;
        let started = Instant::now();
        eventually("it is ready", async || get(&running.admin_address, "/readyz").await.0 == 200).await;
        assert!(started.elapsed() < Duration::from_millis(2_900), "ready after {:?}", started.elapsed());
        has_told(&running, 1).await;
        let told = told(&running);
        assert_eq!(told[0].0, "the shared cache is unavailable");
    }
    fs::remove_dir_all(folder).ok();
}
