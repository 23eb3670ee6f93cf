//! Without a key, the content of Redis reveals no personal data.

use super::Replicas;
use crate::{
    facade::eventually,
    privacy::{
        planted,
        search::{Secret, found, found_rounded_too},
    },
    redis::Redis,
};
use face_liveness_facade::{
    proto::{LivenessImage, LivenessResult},
    simulator::{Fault, FaultKind, Pace, Status},
};
use prost::Message;

/// Sessions with inline images, with images in S3, with the planted image, and a pending one.
const INLINE: usize = 2;
const STORED: usize = 1;
const PLANTED: usize = 4;
const PENDING: usize = 3;

/// Returns all keys with their values, as returned by `DUMP` and, for strings, also by `GET`.
fn everything(redis: &Redis) -> Vec<(String, Vec<u8>)> {
    let names: Vec<String> = redis.command(&["KEYS", "*"]);
    let content = |name: String| {
        // A lease may have expired meanwhile.
        let dump: Option<Vec<u8>> = redis.command(&["DUMP", &name]);
        let text = redis.command::<String>(&["TYPE", &name]) == "string";
        let value: Option<Vec<u8>> = if text { redis.command(&["GET", &name]) } else { None };
        let content = [name.as_bytes(), b" ", &dump.unwrap_or_default(), b" ", &value.unwrap_or_default()].concat();
        (name, content)
    };
    names.into_iter().map(content).collect()
}

/// Returns whether Redis has a key of each kind.
fn has_every_kind(everything: &[(String, Vec<u8>)]) -> bool {
    let has = |kind: &str| everything.iter().any(|(name, _)| name.contains(kind));
    [":result", ":images", ":state", ":lease", ":quota:"].into_iter().all(has)
}

#[tokio::test]
async fn redis_keys_and_values_contain_no_personal_data() {
    let replicas = Replicas::start(2, &["--shared-cache-images", "true", "--quota-tps", "1000"]).await;
    let simulator = &replicas.simulator;
    for number in [INLINE, STORED] {
        simulator.place(planted::session(number, Pace::Frozen(Status::Succeeded)));
    }
    simulator.place(planted::session(PENDING, Pace::Frozen(Status::InProgress)));
    simulator.script(Fault {
        session_id: Some(planted::id(PLANTED)),
        ..Fault::new(FaultKind::Raw {
            status: 200,
            content_type: Some("application/x-amz-json-1.1".to_owned()),
            body: planted::result(&planted::id(PLANTED), "SUCCEEDED"),
        })
    });
    let mut returned = Vec::new();
    for number in [INLINE, STORED, PLANTED, PENDING] {
        let read = replicas.all[0].call(planted::full(number)).await.expect("a response");
        let shared = replicas.all[1].call(planted::full(number)).await.expect("a response");
        assert_eq!(read.result, shared.result, "session {number}");
        returned.extend(shared.encode_to_vec());
    }
    let secrets = Secret::ALL.map(|(secret, _)| secret);
    assert_eq!(found(&returned).into_keys().collect::<Vec<_>>(), secrets, "all of it is shared");
    eventually("Redis has a key of each kind", async || has_every_kind(&everything(&replicas.redis))).await;
    for (name, content) in everything(&replicas.redis) {
        assert!(found(&content).is_empty(), "{name}: {:?}", found(&content));
        // Short texts occur by chance in timestamps (quota) and in many random bytes (images).
        let occurs_by_chance = [":quota:", ":images"].iter().any(|kind| name.contains(kind));
        assert!(occurs_by_chance || found_rounded_too(&content).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn the_search_finds_each_secret_in_an_unsealed_value() {
    let redis = Redis::start().ready();
    let result = |image: Vec<u8>| LivenessResult {
        confidence: Some(planted::CONFIDENCE),
        reference_image: Some(LivenessImage { content: image.into(), ..Default::default() }),
        ..Default::default()
    };
    let bits = u128::from_str_radix(&planted::id(1).replace('-', ""), 16).expect("an id is hex");
    let encoded = aws_smithy_types::base64::encode(planted::image());
    for (value, secrets) in [
        (result(planted::image()).encode_to_vec(), &[Secret::Image, Secret::Confidence][..]),
        (encoded.into_bytes(), &[Secret::Image]),
        (planted::CONFIDENCE.to_string().into_bytes(), &[Secret::Confidence]),
        (bits.to_be_bytes().to_vec(), &[Secret::Session]),
        (planted::id(1).into_bytes(), &[Secret::Session]),
        (format!("{}/reference.jpg", planted::KEY).into_bytes(), &[Secret::Key]),
    ] {
        redis.command_bytes::<()>(&[b"SET", b"unsealed", &value]);
        // Also in the dump alone, which is what files and replication contain: it can compress long
        // values.
        let dump: Vec<u8> = redis.command(&["DUMP", "unsealed"]);
        let all = everything(&redis);
        for bytes in [&dump, &all[0].1] {
            assert_eq!(found(bytes).into_keys().collect::<Vec<_>>(), secrets, "{:?}", value.escape_ascii().to_string());
        }
    }
    let name = planted::id(1);
    redis.command::<()>(&["FLUSHALL"]);
    redis.command::<()>(&["SET", &name, "1"]);
    assert_eq!(found(&everything(&redis)[0].1).into_keys().collect::<Vec<_>>(), [Secret::Session]);
}
