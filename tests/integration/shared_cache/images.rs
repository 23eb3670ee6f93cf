//! Images in the shared cache: only with `--shared-cache-images`.

use super::{Replicas, succeeded};
use crate::facade::{Facade, id, request};
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, GetLivenessResultResponse, ResultView, Source},
    simulator::Session,
};

async fn call_with_images(replica: &Facade) -> GetLivenessResultResponse {
    let request = GetLivenessResultRequest { view: ResultView::Full.into(), ..request(&id(1)) };
    replica.call(request).await.expect("a response")
}

#[tokio::test]
async fn images_read_by_one_replica_are_served_by_every_replica() {
    let replicas = Replicas::start(3, &["--shared-cache-images", "true"]).await;
    replicas.simulator.place(Session { audit_images: 2, ..succeeded(id(1)) });
    let first = call_with_images(&replicas.all[0]).await;
    let result = first.result.as_ref().expect("a result");
    assert!(result.reference_image.as_ref().is_some_and(|image| !image.content.is_empty()));
    assert!(result.audit_images.len() == 2 && result.audit_images.iter().all(|image| !image.content.is_empty()));
    for replica in &replicas.all[1..] {
        let response = call_with_images(replica).await;
        assert_eq!((response.source(), &response.result), (Source::SharedCache, &first.result));
        assert_eq!(response.image_expire_time, first.image_expire_time);
    }
    assert_eq!(replicas.simulator.reads(), 1);
}

#[tokio::test]
async fn by_default_images_are_not_shared_and_each_replica_reads_them() {
    let replicas = Replicas::start(2, &[]).await;
    replicas.simulator.place(succeeded(id(1)));
    let first = call_with_images(&replicas.all[0]).await;
    assert_eq!(replicas.redis.command::<Vec<String>>(&["KEYS", "*:images"]), Vec::<String>::new());
    let response = call_with_images(&replicas.all[1]).await;
    assert_eq!(response.result, first.result);
    assert_eq!(replicas.simulator.reads(), 2);
}

#[tokio::test]
async fn shared_images_have_their_own_ttl() {
    let replicas = Replicas::start(1, &["--shared-cache-images", "true", "--image-ttl", "100s"]).await;
    replicas.simulator.place(succeeded(id(1)));
    call_with_images(&replicas.all[0]).await;
    let ttl = |kind: &str| -> u64 {
        let names: Vec<String> = replicas.redis.command(&["KEYS", &format!("*:{kind}")]);
        replicas.redis.command(&["TTL", &names[0]])
    };
    assert!((80..=100).contains(&ttl("images")), "{}", ttl("images"));
    assert!((3_500..=3_600).contains(&ttl("result")), "{}", ttl("result"));
}
