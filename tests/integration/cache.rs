//! What is cached, and what is read again.

use crate::{
    admin,
    facade::{Facade, eventually, id, reason, request},
};
use face_liveness_facade::{
    proto::{self, ImageContent, LivenessStatus, ResultView, Source},
    simulator::{self, Fault, FaultKind, Pace, Session, Status},
};
use std::time::Duration;

fn succeeded(id: &str) -> Session {
    Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id) }
}

fn full(id: &str) -> proto::GetLivenessResultRequest {
    proto::GetLivenessResultRequest { view: ResultView::Full.into(), ..request(id) }
}

fn not_found() -> FaultKind {
    FaultKind::Error { code: "SessionNotFoundException".into(), status: 400, message: None }
}

#[tokio::test]
async fn a_final_result_is_read_once_and_then_served_from_the_cache() {
    let facade = Facade::start(&[]).await;
    for (number, status) in [(1, Status::Succeeded), (2, Status::Failed), (3, Status::Expired)] {
        facade.place(Session { pace: Pace::Frozen(status), ..Session::new(id(number)) });
        let first = facade.call(full(&id(number))).await.expect("a response");
        assert_eq!(first.source(), Source::Upstream);
        let mut second = facade.call(full(&id(number))).await.expect("a response");
        assert_eq!(second.source(), Source::Cache);
        second.source = first.source;
        assert_eq!(second, first, "nothing but the source differs");
        assert_eq!(facade.simulator.reads_of(&id(number)), 1);
    }
}

#[tokio::test]
async fn a_cached_result_and_its_images_outlive_the_session_at_aws() {
    let facade = Facade::start(&[]).await;
    facade.place(succeeded(&id(1)));
    facade.get(&id(1)).await.expect("a response");
    facade.fault(not_found());
    let response = facade.call(full(&id(1))).await.expect("a response");
    assert_eq!((response.source(), response.image_content()), (Source::Cache, ImageContent::Included));
}

#[tokio::test]
async fn a_pending_session_is_read_again() {
    let facade = Facade::start(&["--pending-ttl", "10ms"]).await;
    for (number, status) in [(1, Status::Created), (2, Status::InProgress), (3, Status::Other("NEW".into()))] {
        facade.place(Session { pace: Pace::Frozen(status), ..Session::new(id(number)) });
        for _ in 0..2 {
            eventually("a newer status", async || {
                facade.get(&id(number)).await.expect("a response").source() == Source::Upstream
            })
            .await;
        }
        assert!(facade.simulator.reads_of(&id(number)) >= 2);
    }
}

#[tokio::test]
async fn a_pending_status_is_cached_for_the_pending_ttl() {
    let facade = Facade::start(&["--pending-ttl", "1h"]).await;
    facade.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(1)) });
    let first = facade.get(&id(1)).await.expect("a response");
    assert_eq!((first.source(), first.expire_time), (Source::Upstream, None));
    let second = facade.get(&id(1)).await.expect("a response");
    assert_eq!((second.source(), second.read_time), (Source::Cache, first.read_time));
    assert_eq!(facade.simulator.reads(), 1);
}

#[tokio::test]
async fn the_newest_result_survives_a_full_cache() {
    let facade = Facade::start(&["--result-cache-entries", "10"]).await;
    for number in 0..30 {
        facade.place(succeeded(&id(number)));
        facade.get(&id(number)).await.expect("a response");
        facade.get(&id(number)).await.expect("a response");
    }
    assert_eq!(facade.simulator.reads(), 30, "each second call is a cache hit");
}

/// Returns the number of evicted images.
async fn evictions(facade: &Facade) -> f64 {
    let (_, metrics) = admin::get(facade.admin_address, "/metrics").await;
    admin::value(&metrics, r#"face_liveness_cache_evictions_total{cache="images"}"#)
}

#[tokio::test]
async fn evicted_images_are_read_again_while_aws_has_them() {
    // The images of one session fit, and those of two do not.
    let facade = Facade::start(&["--image-cache-size", "70KiB"]).await;
    for number in 1..=2 {
        facade.place(succeeded(&id(number)));
        facade.call(full(&id(number))).await.expect("a response");
    }
    eventually("the images of the first session are evicted", async || evictions(&facade).await == 1.0).await;
    let response = facade.call(full(&id(1))).await.expect("a response");
    assert_eq!((response.source(), response.image_content()), (Source::Upstream, ImageContent::Included));
    assert_eq!(facade.simulator.reads(), 3);
    eventually("the images of the second session are evicted", async || evictions(&facade).await == 2.0).await;
    facade.fault(not_found());
    let response = facade.call(full(&id(2))).await.expect("the result is cached");
    assert_eq!((response.source(), response.image_content()), (Source::Cache, ImageContent::Expired));
}

#[tokio::test]
async fn images_larger_than_the_cache_are_read_only_once() {
    let facade = Facade::start(&["--image-cache-size", "1KiB"]).await;
    facade.place(succeeded(&id(1)));
    let first = facade.call(full(&id(1))).await.expect("a response");
    assert_eq!((first.image_content(), first.image_expire_time), (ImageContent::Included, None));
    for _ in 0..3 {
        let response = facade.call(full(&id(1))).await.expect("the result is cached");
        assert_eq!((response.source(), response.image_content()), (Source::Cache, ImageContent::Expired));
    }
    assert_eq!(facade.simulator.reads(), 1);
}

#[tokio::test]
async fn a_result_cache_of_size_zero_caches_nothing_and_returns_no_expire_time() {
    let facade = Facade::start(&["--result-cache-entries", "0"]).await;
    facade.place(succeeded(&id(1)));
    for reads in 1..=2 {
        let response = facade.call(full(&id(1))).await.expect("a response");
        assert_eq!((response.expire_time, response.image_expire_time), (None, None));
        assert_eq!((response.source(), facade.simulator.reads()), (Source::Upstream, reads));
    }
}

#[tokio::test]
async fn images_expire_before_the_result() {
    let facade = Facade::start(&["--image-ttl", "50ms"]).await;
    facade.place(succeeded(&id(1)));
    let first = facade.call(full(&id(1))).await.expect("a response");
    assert_eq!(first.image_content(), ImageContent::Included);
    facade.fault(not_found());
    eventually("the images expire", async || {
        let response = facade.call(full(&id(1))).await.expect("a response");
        assert_eq!(response.result.as_ref().map(|result| result.status()), Some(LivenessStatus::Succeeded));
        response.image_content() == ImageContent::Expired
    })
    .await;
}

#[tokio::test]
async fn not_found_is_negative_cached_for_its_ttl() {
    let facade = Facade::start(&["--not-found-ttl", "1h"]).await;
    for _ in 0..3 {
        assert_eq!(reason(&facade.get(&id(1)).await.expect_err("unknown")), "SESSION_NOT_FOUND");
    }
    assert_eq!(facade.simulator.reads(), 1);

    let facade = Facade::start(&["--not-found-ttl", "0s"]).await;
    facade.get(&id(1)).await.expect_err("unknown");
    facade.place(succeeded(&id(1)));
    facade.get(&id(1)).await.expect("a response");
}

#[tokio::test]
async fn a_session_that_disappears_while_pending_is_session_gone() {
    let config = simulator::Config { gone_after: Duration::from_millis(200), ..Default::default() };
    let facade = Facade::with_simulator(&[], config).await;
    facade.place(Session { pace: Pace::FromFirstRead, ..Session::new(id(1)) });
    facade.get(&id(1)).await.expect("a response");
    eventually("AWS deletes the session", async || match facade.get(&id(1)).await {
        Ok(_) => false,
        Err(status) => {
            assert_eq!((status.code(), reason(&status).as_str()), (tonic::Code::NotFound, "SESSION_GONE"));
            true
        }
    })
    .await;
}

#[tokio::test]
async fn two_server_errors_from_aws_are_retried_and_hidden_from_the_caller() {
    let facade = Facade::start(&[]).await;
    facade.place(succeeded(&id(1)));
    let kind = FaultKind::Error { code: "InternalServerError".into(), status: 500, message: None };
    facade.simulator.script(Fault { times: Some(2), ..Fault::new(kind) });
    facade.get(&id(1)).await.expect("the third attempt passes");
    assert_eq!(facade.simulator.reads(), 3);
}
