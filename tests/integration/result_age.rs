//! `max_result_age`: a live result that was first read from AWS longer ago is too old.

use crate::{
    facade::{Facade, id, reason, request},
    shared_cache::Replicas,
};
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, GetLivenessResultResponse, ImageContent, ResultView, Source, Verdict},
    simulator::{Outcome, Pace, Session, Status},
};
use std::time::{Duration, Instant};
use tonic_types::StatusExt;

const HOUR: Duration = Duration::from_secs(3_600);
const NANOSECOND: Duration = Duration::from_nanos(1);

fn session(number: u32, status: Status, confidence: Option<f32>) -> Session {
    let outcome = Outcome::Succeeded { confidence };
    Session { outcome, pace: Pace::Frozen(status), ..Session::new(id(number)) }
}

fn aged(number: u32, max_result_age: Duration) -> GetLivenessResultRequest {
    let max_result_age = Some(max_result_age.try_into().expect("at most 10,000 years"));
    GetLivenessResultRequest { min_confidence: Some(80.0), max_result_age, ..request(&id(number)) }
}

async fn call(facade: &Facade, number: u32, max_result_age: Duration) -> GetLivenessResultResponse {
    facade.call(aged(number, max_result_age)).await.expect("a response")
}

#[tokio::test]
async fn a_live_result_that_is_too_old_changes_only_the_verdict_and_costs_no_read() {
    let facade = Facade::start(&[]).await;
    facade.place(session(1, Status::Succeeded, Some(99.0)));
    let first = call(&facade, 1, HOUR).await;
    assert_eq!(first.verdict(), Verdict::Live);
    let old = call(&facade, 1, NANOSECOND).await;
    assert_eq!(old.verdict(), Verdict::TooOld);
    let mut expected = call(&facade, 1, HOUR).await;
    assert_eq!(expected.verdict(), Verdict::Live, "the age of one caller does not affect others");
    expected.set_verdict(Verdict::TooOld);
    assert_eq!(old, expected);
    assert_eq!(facade.simulator.reads(), 1);
    assert_eq!(facade.metric(r#"face_liveness_verdicts_total{verdict="too_old"}"#).await, 1.0);
    assert_eq!(facade.metric(r#"face_liveness_verdicts_total{verdict="live"}"#).await, 2.0);
}

#[tokio::test]
async fn no_other_verdict_changes_with_the_age() {
    let facade = Facade::start(&["--pending-ttl", "1h"]).await;
    for (number, status, confidence, expected) in [
        (1, Status::Succeeded, Some(79.0), Verdict::NotLive),
        (2, Status::Succeeded, None, Verdict::Inconclusive),
        (3, Status::Failed, None, Verdict::Inconclusive),
        (4, Status::Expired, None, Verdict::Inconclusive),
        (5, Status::Created, None, Verdict::Pending),
        (6, Status::InProgress, None, Verdict::Pending),
    ] {
        facade.place(session(number, status, confidence));
        for _ in 0..2 {
            assert_eq!(call(&facade, number, NANOSECOND).await.verdict(), expected);
        }
        assert_eq!(facade.simulator.reads_of(&id(number)), 1);
    }
    facade.place(session(7, Status::Succeeded, Some(99.0)));
    let without_threshold = GetLivenessResultRequest { min_confidence: None, ..aged(7, NANOSECOND) };
    assert_eq!(facade.call(without_threshold).await.expect("a response").verdict(), Verdict::Unspecified);
}

#[tokio::test]
async fn a_maximum_age_of_zero_is_rejected_with_the_name_of_the_field() {
    let facade = Facade::start(&[]).await;
    let error = facade.call(aged(1, Duration::ZERO)).await.expect_err("it is invalid");
    assert_eq!(reason(&error), "INVALID_REQUEST");
    let details = error.get_error_details();
    let violations = &details.bad_request().expect("a BadRequest").field_violations;
    assert_eq!((violations.len(), &*violations[0].field), (1, "max_result_age"));
    assert_eq!(facade.simulator.reads(), 0);
}

/// The replicas do not share images, so the second one reads them from AWS.
#[tokio::test]
async fn neither_another_replica_nor_a_later_read_of_images_renews_the_age() {
    let mut replicas = Replicas::start(1, &[]).await;
    replicas.simulator.place(session(1, Status::Succeeded, Some(99.0)));
    let first = call(&replicas.all[0], 1, HOUR).await;
    let since_first = Instant::now();
    replicas.add(&[]).await;
    let age = since_first.elapsed();
    let shared = call(&replicas.all[1], 1, age).await;
    assert_eq!((shared.source(), shared.verdict()), (Source::SharedCache, Verdict::TooOld));
    for source in [Source::Upstream, Source::Cache] {
        let request = GetLivenessResultRequest { view: ResultView::Full.into(), ..aged(1, age) };
        let response = replicas.all[1].call(request).await.expect("a response");
        assert_eq!((response.source(), response.image_content()), (source, ImageContent::Included));
        assert_eq!((response.verdict(), response.read_time), (Verdict::TooOld, first.read_time));
    }
    assert_eq!(replicas.simulator.reads(), 2);
}
