//! Only what a replica's own keys sealed for this session, unchanged, is ever an answer.

use super::{Replicas, key_line, succeeded};
use crate::facade::id;
use face_liveness_facade::proto::{GetLivenessResultResponse, Source};
use std::fs;

/// A key file with these keys, and the flag that names it.
fn keys(replicas: &Replicas, keys: &[u8]) -> [String; 2] {
    let file = replicas.redis.folder.join(format!("keys-{keys:?}"));
    fs::write(&file, keys.iter().map(|key| key_line(*key)).collect::<String>()).expect("the folder can be written");
    ["--shared-cache-key-file".to_owned(), file.display().to_string()]
}

/// Replaces each replica by one with these keys.
async fn roll_out(replicas: &mut Replicas, new: &[u8]) {
    let [flag, file] = keys(replicas, new);
    replicas.restart(&[&flag, &file]).await;
}

/// A session that was read and answered by the replica of that index.
async fn read(replicas: &Replicas, by: usize, number: u32) -> GetLivenessResultResponse {
    replicas.simulator.place(succeeded(id(number)));
    replicas.all[by].get(&id(number)).await.expect("a response")
}

/// The sealed value of that kind: there is one in the whole store.
fn only(replicas: &Replicas, kind: &str) -> String {
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

/// That a replica that has just started finds none of these sessions, reads them of AWS, and says
/// what AWS says.
async fn assert_misses(replicas: &mut Replicas, told: &[(u32, &GetLivenessResultResponse)]) {
    let before = replicas.simulator.reads();
    replicas.add(&[]).await;
    let fresh = replicas.all.last().expect("it was just added");
    for (number, first) in told {
        let response = fresh.get(&id(*number)).await.expect("a response");
        assert_eq!((response.source(), &response.result), (Source::Upstream, &first.result));
    }
    assert_eq!(replicas.simulator.reads() - before, told.len() as u64);
    let unreadable = fresh.metric(r#"face_liveness_shared_cache_lookups_total{outcome="unreadable"}"#).await;
    assert!(unreadable >= told.len() as f64, "{unreadable} are counted");
}

#[tokio::test]
async fn a_replica_with_another_key_reads_from_aws_and_overwrites_nothing() {
    let mut replicas = Replicas::start(1, &[]).await;
    let first = read(&replicas, 0, 1).await;
    let [flag, file] = keys(&replicas, &[9]);
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
    // The new key opens; then it seals; then the old one goes, once nothing that it sealed is held
    // any more.
    for new in [&[2, 1][..], &[1, 2]] {
        let [flag, file] = keys(&replicas, new);
        // Half of the way: one replica has the new file, the other has not.
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
    let name = only(&replicas, "result");
    let sealed = value(&replicas, &name);
    for at in [0, 11, 12, sealed.len() / 2, sealed.len() - 1] {
        let mut tampered = sealed.clone();
        tampered[at] ^= 1;
        replace(&replicas, &name, &tampered);
        assert_misses(&mut replicas, &[(1, &first)]).await;
        // Whoever comes next finds what the last one read.
        replicas.add(&[]).await;
        let next = replicas.all.last().expect("it was just added").get(&id(1)).await.expect("a response");
        assert_eq!((next.source(), &next.result), (Source::SharedCache, &first.result));
    }
}

#[tokio::test]
async fn a_truncated_value_is_a_miss() {
    let mut replicas = Replicas::start(1, &[]).await;
    let first = read(&replicas, 0, 1).await;
    let name = only(&replicas, "result");
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
    let images = value(&replicas, &only(&replicas, "images"));
    replace(&replicas, &only(&replicas, "result"), &images);
    assert_misses(&mut replicas, &[(1, &first)]).await;
}
