//! The log and readiness of the program when Redis fails.

use super::{key_line, load::Load};
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

/// Calls of every caller between two changes. If requests were logged, each would add a line.
const CALLS: u32 = 20;

/// Starts the program with the Redis at `url` and a key file in `folder`.
async fn replica(url: &str, folder: &Path) -> (Simulator, Running) {
    let key = folder.join("key");
    fs::write(&key, key_line(1)).expect("the folder is writable");
    let (simulator, endpoint) = simulator().await;
    let key = key.display().to_string();
    let cache = ["--shared-cache-url", url, "--shared-cache-key-file", &key, "--shared-cache-timeout", "150ms"];
    let running = serve(&[&cache[..], &["--quota-tps", "0", "--access-log", "none"]].concat(), &aws(&endpoint));
    (simulator, running)
}

/// Returns the start of each log message about the shared cache, and its `why` field.
fn shared_cache_messages(running: &Running) -> Vec<(String, String)> {
    let log = running.log();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON"));
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let messages = lines.filter(|line| line["message"].as_str().is_some_and(|text| text.contains("the shared cache")));
    messages
        .map(|line| {
            let message = word(&line["message"]);
            (message.split(';').next().unwrap_or_default().to_owned(), word(&line["why"]))
        })
        .collect()
}

async fn wait_for_log_lines(running: &Running, lines: usize) {
    eventually("the change is logged", async || shared_cache_messages(running).len() >= lines).await;
}

#[tokio::test]
async fn each_change_of_the_shared_cache_is_logged_once_and_no_request_is() {
    let mut redis = Redis::start().ready();
    let (simulator, running) = replica(&redis.url(), &redis.folder.clone()).await;
    wait_for_log_lines(&running, 1).await;
    let load = Load::on([running.address.clone()], &simulator).await;
    load.advance(CALLS).await;
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    wait_for_log_lines(&running, 2).await;
    load.advance(CALLS).await;
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    wait_for_log_lines(&running, 3).await;
    load.advance(CALLS).await;
    redis.kill();
    wait_for_log_lines(&running, 4).await;
    load.advance(CALLS).await;
    redis.restart();
    wait_for_log_lines(&running, 5).await;
    load.advance(CALLS).await;
    let messages = shared_cache_messages(&running);
    let messages: Vec<_> = messages.iter().map(|(what, why)| (what.as_str(), why.as_str())).collect();
    let [start, full, emptied, (down, why), back] = messages[..] else { panic!("{messages:?}") };
    let in_use = ("the shared cache is available", "");
    assert_eq!([start, emptied, back], [in_use; 3]);
    assert_eq!(full, ("the shared cache is read-only", "it is full (OOM)"));
    assert_eq!(down, "the shared cache is unavailable");
    assert!(!why.is_empty());
}

#[tokio::test]
async fn a_replica_becomes_ready_without_redis() {
    // A port that is closed, and a port that accepts connections and never sends anything.
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let folder = std::env::temp_dir().join(format!("face-liveness-dead-store-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder is writable");
    for address in [closed, silent.local_addr().expect("a bound socket has an address")] {
        let (_simulator, running) = replica(&format!("redis://{address}"), &folder).await;
        let started = Instant::now();
        eventually("it is ready", async || get(&running.admin_address, "/readyz").await.0 == 200).await;
        assert!(started.elapsed() < Duration::from_millis(2_900), "ready after {:?}", started.elapsed());
        wait_for_log_lines(&running, 1).await;
        let messages = shared_cache_messages(&running);
        assert_eq!(messages[0].0, "the shared cache is unavailable");
    }
    fs::remove_dir_all(folder).ok();
}
