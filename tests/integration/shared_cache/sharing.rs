use super::{Replicas, succeeded};
use crate::facade::id;
use face_liveness_facade::{
    proto::Source,
    simulator::{Fault, FaultKind, Session},
};
use std::time::Duration;

#[tokio::test]
async fn a_result_read_by_one_replica_is_served_by_all_with_the_same_times() {
    let replicas = Replicas::start(5, &[]).await;
    replicas.simulator.place(succeeded(id(1)));
    let first = replicas.all[0].get(&id(1)).await.expect("a response");
    assert_eq!(first.source(), Source::Upstream);
    for replica in &replicas.all[1..] {
        let response = replica.get(&id(1)).await.expect("a response");
        assert_eq!(response.source(), Source::SharedCache);
        assert_eq!(
            (response.result, response.read_time, response.expire_time),
            (first.result.clone(), first.read_time, first.expire_time)
        );
        assert_eq!(replica.get(&id(1)).await.expect("a response").source(), Source::Cache);
    }
    assert_eq!(replicas.simulator.reads(), 1);
}

#[tokio::test]
async fn a_shared_result_outlives_the_session_and_all_replicas() {
    let mut replicas = Replicas::start(2, &[]).await;
    replicas.simulator.place(succeeded(id(1)));
    let first = replicas.all[0].get(&id(1)).await.expect("a response");
    replicas.simulator.script(Fault::new(FaultKind::Error {
        code: "SessionNotFoundException".to_owned(),
        status: 400,
        message: None,
    }));
    replicas.restart(&[]).await;
    for replica in &replicas.all {
        let response = replica.get(&id(1)).await.expect("a response");
        assert_eq!((response.result, response.expire_time), (first.result.clone(), first.expire_time));
    }
    assert_eq!(replicas.simulator.reads(), 1);
}

#[tokio::test]
async fn replicas_share_one_poll_of_a_pending_session() {
    let replicas = Replicas::start(5, &[]).await;
    replicas.simulator.place(Session {
        created_for: Some(Duration::from_secs(1)),
        in_progress_for: Some(Duration::from_secs(3)),
        ..Session::new(id(1))
    });
    let mut waits = tokio::task::JoinSet::new();
    for replica in &replicas.all {
        let mut client = replica.client().await;
        let mut request = crate::facade::request(&id(1));
        request.wait = Some(prost_types::Duration { seconds: 20, nanos: 0 });
        waits.spawn(async move { client.get_liveness_result(request).await.expect("a response").into_inner() });
    }
    let responses = waits.join_all().await;
    assert!(responses.iter().all(|response| response.read_time == responses[0].read_time));
    assert!(replicas.simulator.reads() <= 10, "{} reads", replicas.simulator.reads());
}
