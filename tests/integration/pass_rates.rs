//! The counters of final results, feedback and verdicts.

use crate::{
    facade::{Facade, eventually, id, request},
    shared_cache::Replicas,
};
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, ResultView},
    simulator::{Challenge, ChallengeType, Fault, FaultKind, Feedback, FeedbackCode, Outcome, Pace, Session, Status},
};

fn succeeded(id: String) -> Session {
    Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id) }
}

/// Returns the counter of final results of the simulator's default challenge and SDK type.
fn final_results(status: &str, verdict: &str) -> String {
    let challenge = r#"challenge="FaceMovementAndLightChallenge",sdk_type="other""#;
    format!(r#"face_liveness_final_results_total{{{challenge},status="{status}",verdict="{verdict}"}}"#)
}

fn verdicts(verdict: &str) -> String {
    format!(r#"face_liveness_verdicts_total{{verdict="{verdict}"}}"#)
}

#[tokio::test]
async fn a_result_counts_once_at_the_servers_threshold_and_each_response_counts_its_verdict() {
    let facade = Facade::start(&["--min-confidence", "80"]).await;
    let confidence = |confidence| Outcome::Succeeded { confidence: Some(confidence) };
    facade.place(Session { outcome: confidence(90.0), ..succeeded(id(1)) });
    facade.place(Session { outcome: confidence(70.0), ..succeeded(id(2)) });
    let strict = GetLivenessResultRequest { min_confidence: Some(95.0), ..request(&id(1)) };
    let full = GetLivenessResultRequest { view: ResultView::Full.into(), ..request(&id(1)) };
    for request in [request(&id(1)), strict, full, request(&id(2))] {
        facade.call(request).await.expect("a response");
    }
    facade.place(Session { pace: Pace::Frozen(Status::Created), ..Session::new(id(3)) });
    facade.get(&id(3)).await.expect("a response");
    for (series, expected) in [
        (final_results("succeeded", "live"), 1.0),
        (final_results("succeeded", "not_live"), 1.0),
        (verdicts("live"), 2.0),
        (verdicts("not_live"), 2.0),
        (verdicts("pending"), 1.0),
    ] {
        assert_eq!(facade.metric(&series).await, expected, "{series}");
    }
}

#[tokio::test]
async fn a_result_counts_with_its_challenge_sdk_type_and_feedback() {
    let facade = Facade::start(&["--min-confidence", "80"]).await;
    facade.place(Session {
        outcome: Outcome::Succeeded { confidence: Some(10.0) },
        challenge: Some(Challenge { kind: ChallengeType::FaceMovementChallenge, version: "1.0.0".into() }),
        feedback: vec![Feedback { code: FeedbackCode::LowLightingDetected, message: "More light.".into() }],
        sdk_type: Some("FaceLivenessDetectorAndroid".into()),
        ..succeeded(id(1))
    });
    facade.get(&id(1)).await.expect("a response");
    let labels = r#"challenge="FaceMovementChallenge",sdk_type="android",status="succeeded",verdict="not_live""#;
    assert_eq!(facade.metric(&format!("face_liveness_final_results_total{{{labels}}}")).await, 1.0);
    assert_eq!(facade.metric(r#"face_liveness_feedback_total{code="LOW_LIGHTING_DETECTED"}"#).await, 1.0);
    assert_eq!(facade.metric(r#"face_liveness_feedback_total{code="other"}"#).await, 0.0);
}

#[tokio::test]
async fn only_the_replica_that_first_read_a_result_counts_it() {
    let replicas = Replicas::start(3, &["--min-confidence", "80"]).await;
    replicas.simulator.place(succeeded(id(1)));
    let series = final_results("succeeded", "live");
    let mut counted = Vec::new();
    for replica in &replicas.all {
        // The replicas do not share images, so each of them reads from AWS.
        let request = GetLivenessResultRequest { view: ResultView::Full.into(), ..request(&id(1)) };
        replica.call(request).await.expect("a response");
        counted.push(replica.metric(&series).await);
    }
    assert_eq!((counted, replicas.simulator.reads()), (vec![1.0, 0.0, 0.0], 3));
}

#[tokio::test]
async fn a_result_that_two_replicas_read_at_the_same_time_counts_once() {
    let replicas = Replicas::start(2, &["--min-confidence", "80"]).await;
    replicas.simulator.place(succeeded(id(1)));
    replicas.simulator.script(Fault::new(FaultKind::Latency { ms: 3_000 }));
    let mut calls = tokio::task::JoinSet::new();
    for (replica, reads) in replicas.all.iter().zip(1..) {
        let mut client = replica.client().await;
        calls.spawn(async move { client.get_liveness_result(request(&id(1))).await });
        // The lease is lost, as when Redis fails over.
        let is_read = async || {
            for lease in replicas.redis.command::<Vec<String>>(&["KEYS", "*:lease"]) {
                replicas.redis.command::<u64>(&["DEL", &lease]);
            }
            replicas.simulator.reads_of(&id(1)) == reads
        };
        eventually("each replica reads it", is_read).await;
    }
    for response in calls.join_all().await {
        response.expect("a response");
    }
    let series = final_results("succeeded", "live");
    let counted = replicas.all[0].metric(&series).await + replicas.all[1].metric(&series).await;
    assert_eq!((counted, replicas.simulator.reads()), (1.0, 2));
}
