//! A replica returns only values that its own keys sealed for this session.

use super::{Replicas, key_line, succeeded};
use crate::facade::id;
use face_liveness_facade::proto::{GetLivenessResultResponse, Source};
use std::fs;

/// Writes a key file with these keys, and returns its flag.
fn key_flag(replicas: &Replicas, keys: &[u8]) -> [String; 2] {
    let file = replicas.redis.folder.join(format!("keys-{keys:?}"));
    fs::write(&file, keys.iter().map(|key| key_line(*key)).collect::<String>()).expect("the folder is writable");
    ["--shared-cache-key-file".to_owned(), file.display().to_string()]
}

/// Replaces each replica with one that has these keys.
async fn roll_out(replicas: &mut Replicas, new: &[u8]) {
    let [flag, file] = key_flag(replicas, new);
    replicas.restart(&[&flag, &file]).await;
}

/// Reads a new session through the replica with this index.
async fn read(replicas: &Replicas, by: usize, number: u32) -> GetLivenessResultResponse {
    replicas.simulator.place(succeeded(id(number)));
    replicas.all[by].get(&id(number)).await.expect("a response")
}

/// Returns the only key of this kind in Redis.
fn only_key(replicas: &Replicas, kind: &str) -> String {
    let mut names: Vec<String> = replicas.redis.command(&["KEYS", &format!("*:{kind}")]);
    assert_eq!(names.len(), 1, "{kind}");
    names.remove(0)
}

fn value(replicas: &Replicas, name: &str) -> Vec<u8> {
    replicas.redis.command(&["GET", name])
}

fn replace(replicas: &Replicas, name: &str, value: &[u8]) {
    replicas.redis.command_bytes::<()>(&[b"SET", name.as_bytes(), value, b"KEEPTTL"]);
}

/// Asserts that a new replica finds none of these sessions in Redis, and returns AWS's results.
async fn assert_misses(replicas: &mut Replicas, expected: &[(u32, &GetLivenessResultResponse)]) {
    let before = replicas.simulator.reads();
    replicas.add(&[]).await;
    let fresh = replicas.all.last().expect("a replica was added");
    for (number, first) in expected {
        let response = fresh.get(&id(*number)).await.expect("a response");
        assert_eq!((response.source(), &response.result), (Source::Upstream, &first.result));
    }
    assert_eq!(replicas.simulator.reads() - before, expected.len() as u64);
    let unreadable = fresh.metric(r#"face_liveness_shared_cache_lookups_total{outcome="unreadable"}"#).await;
    assert!(unreadable >= expected.len() as f64, "{unreadable} unreadable values");
}

#[tokio::test]
async fn a_replica_with_another_key_reads_from_aws_and_overwrites_nothing() {
    let mut replicas = Replicas::start(1, &[]).await;
    let first = read(&replicas, 0, 1).await;
    let [flag, file] = key_flag(&replicas, &[9]);
    replicas.add(&[&flag, &file]).await;
    let response = replicas.all[1].get(&id(1)).await.expect("a response");
    assert_eq!((response.source(), &response.result), (Source::Upstream, &first.result));
    replicas.add(&[]).await;
    let response = replicas.all[2].get(&id(1)).await.expect("a response");
    assert_eq!((response.source(), response.expire_time), (Source::SharedCache, first.expire_time));
}

#[tokio::test]
async fn a_key_rotation_in_three_rollouts_repeats_no_read() {
    let mut replicas = Replicas::start(2, &[]).await;
    read(&replicas, 0, 1).await;
    let mut sessions = vec![1];
    // The new key opens; then it seals; then the old key is removed, after its values have expired.
    for new in [&[2, 1][..], &[1, 2]] {
        let [flag, file] = key_flag(&replicas, new);
        // During the rollout, one replica has the new file and the other has the old one.
        let old = replicas.all.remove(0);
        replicas.add(&[&flag, &file]).await;
        for by in [0, 1] {
            let number = sessions.len() as u32 + 1;
            read(&replicas, by, number).await;
            let other = replicas.all[1 - by].get(&id(number)).await.expect("a response");
            assert_eq!(other.source(), Source::SharedCache, "{new:?}, read by {by}");
            sessions.push(number);
        }
        drop(old);
        roll_out(&mut replicas, new).await;
        for number in &sessions {
            let response = replicas.all[0].get(&id(*number)).await.expect("a response");
            assert_eq!(response.source(), Source::SharedCache, "{new:?}, session {number}");
        }
    }
    let last = sessions.len() as u32 + 1;
    let first = read(&replicas, 0, last).await;
    assert_eq!(replicas.simulator.reads(), u64::from(last));
    roll_out(&mut replicas, &[2]).await;
    let response = replicas.all[1].get(&id(last)).await.expect("a response");
    assert_eq!((response.source(), response.expire_time), (Source::SharedCache, first.expire_time));
    assert_eq!(replicas.simulator.reads(), u64::from(last));
}

#[tokio::test]
async fn a_tampered_value_is_a_miss_and_is_overwritten() {
    let mut replicas = Replicas::start(1, &[]).await;
    let first = read(&replicas, 0, 1).await;
    let name = only_key(&replicas, "result");
    let sealed = value(&replicas, &name);
    for at in [0, 11, 12, sealed.len() / 2, sealed.len() - 1] {
        let mut tampered = sealed.clone();
        tampered[at] ^= 1;
        replace(&replicas, &name, &tampered);
        assert_misses(&mut replicas, &[(1, &first)]).await;
        // The next replica finds the value that the previous one wrote.
        replicas.add(&[]).await;
        let next = replicas.all.last().expect("a replica was added").get(&id(1)).await.expect("a response");
        assert_eq!((next.source(), &next.result), (Source::SharedCache, &first.result));
    }
}

#[tokio::test]
async fn a_truncated_value_is_a_miss() {
    let mut replicas = Replicas::start(1, &[]).await;
    let first = read(&replicas, 0, 1).await;
    let name = only_key(&replicas, "result");
    let sealed = value(&replicas, &name);
    for length in [0, 1, 12, 27, sealed.len() - 1] {
        replace(&replicas, &name, &sealed[..length]);
        assert_misses(&mut replicas, &[(1, &first)]).await;
    }
}

#[tokio::test]
async fn a_value_copied_from_another_session_is_a_miss() {
    let mut replicas = Replicas::start(1, &[]).await;
    let first = read(&replicas, 0, 1).await;
    let second = read(&replicas, 0, 2).await;
    assert_ne!(first.result, second.result);
    let names: Vec<String> = replicas.redis.command(&["KEYS", "*:result"]);
    let [one, other] = &names[..] else { panic!("{names:?}") };
    let (of_one, of_other) = (value(&replicas, one), value(&replicas, other));
    replace(&replicas, one, &of_other);
    replace(&replicas, other, &of_one);
    assert_misses(&mut replicas, &[(1, &first), (2, &second)]).await;
}

#[tokio::test]
async fn a_value_copied_from_another_key_of_the_session_is_a_miss() {
    let mut replicas = Replicas::start(0, &[]).await;
    replicas.add(&["--shared-cache-images", "true"]).await;
    let first = read(&replicas, 0, 1).await;
    let images = value(&replicas, &only_key(&replicas, "images"));
    replace(&replicas, &only_key(&replicas, "result"), &images);
    assert_misses(&mut replicas, &[(1, &first)]).await;
}
