use super::{Replicas, ended};
use crate::facade::id;
use face_liveness_facade::{
    proto::Source,
    simulator::{Fault, FaultKind, Session},
};
use std::time::Duration;

#[tokio::test]
async fn what_one_replica_has_read_every_one_can_answer_with_the_same_times() {
    let replicas = Replicas::start(5, &[]).await;
    replicas.simulator.place(ended(id(1)));
    let first = replicas.all[0].get(&id(1)).await.expect("an answer");
    assert_eq!(first.source(), Source::Upstream);
    for replica in &replicas.all[1..] {
        let answer = replica.get(&id(1)).await.expect("an answer");
        assert_eq!(answer.source(), Source::SharedCache);
        assert_eq!(
            (answer.result, answer.read_time, answer.expire_time),
            (first.result.clone(), first.read_time, first.expire_time)
        );
        assert_eq!(replica.get(&id(1)).await.expect("an answer").source(), Source::Cache);
    }
    assert_eq!(replicas.simulator.reads(), 1);
}

#[tokio::test]
async fn a_result_outlives_aws_and_every_replica() {
    let mut replicas = Replicas::start(2, &[]).await;
    replicas.simulator.place(ended(id(1)));
    let first = replicas.all[0].get(&id(1)).await.expect("an answer");
    replicas.simulator.script(Fault::new(FaultKind::Error {
        code: "SessionNotFoundException".to_owned(),
        status: 400,
        message: None,
    }));
    replicas.restart(&[]).await;
    for replica in &replicas.all {
        let answer = replica.get(&id(1)).await.expect("an answer");
        assert_eq!((answer.result, answer.expire_time), (first.result.clone(), first.expire_time));
    }
    assert_eq!(replicas.simulator.reads(), 1);
}

#[tokio::test]
async fn replicas_that_are_asked_for_the_same_unfinished_session_have_one_poll() {
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
        waits.spawn(async move { client.get_liveness_result(request).await.expect("an answer").into_inner() });
    }
    let answers = waits.join_all().await;
    assert!(answers.iter().all(|answer| answer.read_time == answers[0].read_time));
    assert!(replicas.simulator.reads() <= 10, "{} reads", replicas.simulator.reads());
}
