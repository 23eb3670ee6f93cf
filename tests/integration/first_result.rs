//! The first final result of a session is its result, even if a later read differs.

use crate::{
    facade::{Facade, eventually, id, request},
    shared_cache::Replicas,
};
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, GetLivenessResultResponse, ImageContent, ResultView, Source, Verdict},
    simulator::{Outcome, Pace, Session, Status},
};

const CONTRADICTED: &str = "face_liveness_results_contradicted_total";

fn session(number: u32, confidence: f32) -> Session {
    let outcome = Outcome::Succeeded { confidence: Some(confidence) };
    Session { outcome, pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(number)) }
}

async fn call(facade: &Facade, number: u32, view: ResultView) -> GetLivenessResultResponse {
    let request = GetLivenessResultRequest { view: view.into(), min_confidence: Some(80.0), ..request(&id(number)) };
    facade.call(request).await.expect("a response")
}

/// Starts a server that has the result of session 1 cached, and whose images are evicted.
async fn without_images() -> (Facade, GetLivenessResultResponse) {
    // The images of one session fit, and those of two do not.
    let facade = Facade::start(&["--image-cache-size", "70KiB"]).await;
    facade.place(session(1, 99.0));
    facade.place(session(2, 99.0));
    let first = call(&facade, 1, ResultView::Full).await;
    assert_eq!((first.verdict(), first.image_content()), (Verdict::Live, ImageContent::Included));
    call(&facade, 2, ResultView::Full).await;
    let evictions = r#"face_liveness_cache_evictions_total{cache="images"}"#;
    eventually("its images are evicted", async || facade.metric(evictions).await == 1.0).await;
    (facade, first)
}

#[tokio::test]
async fn a_later_read_that_contradicts_the_result_changes_nothing() {
    let frozen = |status| Session { pace: Pace::Frozen(status), ..session(1, 99.0) };
    let no_confidence = Session { outcome: Outcome::Succeeded { confidence: None }, ..session(1, 99.0) };
    let more_images = Session { audit_images: 2, ..session(1, 99.0) };
    for later in [
        session(1, 3.0),
        session(1, 98.9),
        no_confidence,
        more_images,
        frozen(Status::Failed),
        frozen(Status::Expired),
        frozen(Status::InProgress),
        frozen(Status::Other("UNDER_REVIEW".to_owned())),
    ] {
        let (facade, first) = without_images().await;
        facade.place(later);
        let reads = facade.simulator.reads();
        for _ in 0..3 {
            let response = call(&facade, 1, ResultView::Full).await;
            assert_eq!((response.verdict(), response.image_content()), (Verdict::Live, ImageContent::Expired));
            let response = call(&facade, 1, ResultView::Basic).await;
            assert_eq!((response.verdict(), response.read_time), (Verdict::Live, first.read_time));
        }
        assert_eq!(facade.simulator.reads(), reads + 1, "there is one more read from AWS");
        assert_eq!(facade.metric(CONTRADICTED).await, 1.0);
    }
}

#[tokio::test]
async fn a_later_read_that_agrees_restores_the_images_and_keeps_the_times() {
    let (facade, first) = without_images().await;
    let again = call(&facade, 1, ResultView::Full).await;
    assert_eq!((again.source(), again.image_content()), (Source::Upstream, ImageContent::Included));
    assert_eq!(
        (&again.result, again.read_time, again.expire_time),
        (&first.result, first.read_time, first.expire_time)
    );
    assert_eq!(facade.metric(CONTRADICTED).await, 0.0);
}

#[tokio::test]
async fn the_first_result_in_the_shared_cache_applies_to_every_replica() {
    let mut replicas = Replicas::start(1, &[]).await;
    replicas.simulator.place(session(1, 99.0));
    call(&replicas.all[0], 1, ResultView::Basic).await;
    replicas.add(&[]).await;
    replicas.simulator.place(session(1, 3.0));
    let response = call(&replicas.all[1], 1, ResultView::Full).await;
    assert_eq!((response.verdict(), response.image_content()), (Verdict::Live, ImageContent::Expired));
    assert_eq!(replicas.all[1].metric(CONTRADICTED).await, 1.0);
}
