//! Faces in the store: there when they are wanted there, and only then.

use super::{Replicas, ended};
use crate::facade::{Facade, id, request};
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, GetLivenessResultResponse, ResultView, Source},
    simulator::Session,
};

async fn with_faces(replica: &Facade) -> GetLivenessResultResponse {
    let asked = GetLivenessResultRequest { view: ResultView::Full.into(), ..request(&id(1)) };
    replica.call(asked).await.expect("an answer")
}

#[tokio::test]
async fn faces_that_one_replica_has_read_every_one_can_answer() {
    let replicas = Replicas::start(3, &["--shared-cache-images", "true"]).await;
    replicas.simulator.place(Session { audit_images: 2, ..ended(id(1)) });
    let first = with_faces(&replicas.all[0]).await;
    let result = first.result.as_ref().expect("a result");
    assert!(result.reference_image.as_ref().is_some_and(|image| !image.content.is_empty()));
    assert!(result.audit_images.len() == 2 && result.audit_images.iter().all(|image| !image.content.is_empty()));
    for replica in &replicas.all[1..] {
        let answer = with_faces(replica).await;
        assert_eq!((answer.source(), &answer.result), (Source::SharedCache, &first.result));
        assert_eq!(answer.image_expire_time, first.image_expire_time);
    }
    assert_eq!(replicas.simulator.reads(), 1);
}

#[tokio::test]
async fn by_default_no_face_is_in_the_store_and_another_replica_reads_it_again() {
    let replicas = Replicas::start(2, &[]).await;
    replicas.simulator.place(ended(id(1)));
    let first = with_faces(&replicas.all[0]).await;
    assert_eq!(replicas.redis.ask::<Vec<String>>(&["KEYS", "*:images"]), Vec::<String>::new());
    let answer = with_faces(&replicas.all[1]).await;
    assert_eq!(answer.result, first.result);
    assert_eq!(replicas.simulator.reads(), 2);
}

#[tokio::test]
async fn a_face_in_the_store_ends_with_its_own_time_and_not_with_the_results() {
    let replicas = Replicas::start(1, &["--shared-cache-images", "true", "--image-ttl", "100s"]).await;
    replicas.simulator.place(ended(id(1)));
    with_faces(&replicas.all[0]).await;
    let left = |kind: &str| -> u64 {
        let names: Vec<String> = replicas.redis.ask(&["KEYS", &format!("*:{kind}")]);
        replicas.redis.ask(&["TTL", &names[0]])
    };
    assert!((80..=100).contains(&left("images")), "{}", left("images"));
    assert!((3_500..=3_600).contains(&left("result")), "{}", left("result"));
}
