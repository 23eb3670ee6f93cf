//! What is answered about a session: every status, view and verdict.

use crate::facade::{Facade, eventually, id, request};
use face_liveness_facade::{
    proto::{self, ImageContent, LivenessStatus, ResultView, Verdict},
    simulator::{self, Challenge, ChallengeType, Feedback, FeedbackCode, ImageStore, Outcome, Pace, Session, Status},
};
use std::time::Duration;

fn frozen(id: &str, status: Status) -> Session {
    Session { pace: Pace::Frozen(status), ..Session::new(id) }
}

fn with_view(id: &str, view: ResultView) -> proto::GetLivenessResultRequest {
    proto::GetLivenessResultRequest { view: view.into(), ..request(id) }
}

/// The sizes of the reference image and of the audit images that an answer carries.
fn sizes(response: &proto::GetLivenessResultResponse) -> (usize, Vec<usize>) {
    let result = response.result.as_ref().expect("a result");
    let reference = result.reference_image.as_ref().map_or(0, |image| image.content.len());
    (reference, result.audit_images.iter().map(|image| image.content.len()).collect())
}

#[tokio::test]
async fn every_status_is_answered_with_its_verdict() {
    let facade = Facade::start(&[]).await;
    for (number, status, expected, verdict) in [
        (1, Status::Created, LivenessStatus::Created, Verdict::Pending),
        (2, Status::InProgress, LivenessStatus::InProgress, Verdict::Pending),
        (3, Status::Succeeded, LivenessStatus::Succeeded, Verdict::Live),
        (4, Status::Failed, LivenessStatus::Failed, Verdict::Inconclusive),
        (5, Status::Expired, LivenessStatus::Expired, Verdict::Inconclusive),
        (6, Status::Other("UNDER_REVIEW".into()), LivenessStatus::Unspecified, Verdict::Pending),
    ] {
        facade.place(frozen(&id(number), status));
        let request = proto::GetLivenessResultRequest { min_confidence: Some(80.0), ..request(&id(number)) };
        let response = facade.call(request).await.expect("an answer");
        let result = response.result.as_ref().expect("a result");
        assert_eq!((result.status(), response.verdict()), (expected, verdict));
        assert_eq!(result.session_id, id(number));
        assert_eq!(result.confidence.is_some(), expected == LivenessStatus::Succeeded);
        assert_eq!(response.applied_min_confidence, Some(80.0));
        assert!(response.read_time.is_some());
        assert_eq!(response.expire_time.is_some(), expected.is_terminal());
        let unknown = expected == LivenessStatus::Unspecified;
        assert_eq!(result.unrecognized_status, if unknown { "UNDER_REVIEW" } else { "" });
    }
}

#[tokio::test]
async fn the_servers_threshold_is_the_default_and_the_floor() {
    let facade = Facade::start(&["--min-confidence", "80"]).await;
    let outcome = Outcome::Succeeded { confidence: Some(75.0) };
    facade.place(Session { outcome, ..frozen(&id(1), Status::Succeeded) });
    for (asked, applied) in [(None, 80.0), (Some(50.0), 80.0), (Some(90.0), 90.0)] {
        let request = proto::GetLivenessResultRequest { min_confidence: asked, ..request(&id(1)) };
        let response = facade.call(request).await.expect("an answer");
        assert_eq!((response.applied_min_confidence, response.verdict()), (Some(applied), Verdict::NotLive));
    }
}

#[tokio::test]
async fn without_any_threshold_nothing_is_decided() {
    let facade = Facade::start(&[]).await;
    facade.place(frozen(&id(1), Status::Succeeded));
    let response = facade.get(&id(1)).await.expect("an answer");
    assert_eq!((response.applied_min_confidence, response.verdict()), (None, Verdict::Unspecified));
}

#[tokio::test]
async fn a_view_carries_its_images_as_aws_sent_them() {
    let facade = Facade::start(&[]).await;
    facade.place(Session { audit_images: 4, ..frozen(&id(1), Status::Succeeded) });
    let full = facade.call(with_view(&id(1), ResultView::Full)).await.expect("an answer");
    let (reference, audit) = sizes(&full);
    assert_eq!(audit.len(), 4);
    assert!(audit.iter().chain([&reference]).all(|size| (1..=204_800).contains(size)), "{reference} {audit:?}");
    let image = full.result.as_ref().and_then(|result| result.reference_image.as_ref()).expect("an image");
    assert_eq!(image.content[..3], [0xff, 0xd8, 0xff], "a JPEG");
    assert!(image.bounding_box.is_some());

    for (view, expected, content) in [
        (ResultView::Unspecified, (0, vec![0; 4]), ImageContent::Unspecified),
        (ResultView::Basic, (0, vec![0; 4]), ImageContent::Unspecified),
        (ResultView::Reference, (reference, vec![0; 4]), ImageContent::Included),
        (ResultView::Full, (reference, audit), ImageContent::Included),
    ] {
        let response = facade.call(with_view(&id(1), view)).await.expect("an answer");
        assert_eq!((sizes(&response), response.image_content()), (expected, content), "{view:?}");
        assert!(response.image_expire_time.is_some());
    }
}

#[tokio::test]
async fn images_in_s3_are_told_by_their_place() {
    let facade = Facade::start(&[]).await;
    let images = ImageStore::S3 { bucket: "faces".into(), prefix: "checks".into(), version: None };
    facade.place(Session { images, ..frozen(&id(1), Status::Succeeded) });
    let response = facade.call(with_view(&id(1), ResultView::Full)).await.expect("an answer");
    assert_eq!(response.image_content(), ImageContent::Absent);
    assert!(response.image_expire_time.is_none());
    let object = response.result.and_then(|result| result.reference_image?.s3_object).expect("an object");
    assert_eq!(object.bucket, "faces");
    assert!(object.name.starts_with("checks/"), "{}", object.name);
}

#[tokio::test]
async fn a_server_that_may_show_less_than_asked_for_says_so() {
    for (images, expected) in [("reference", true), ("none", false)] {
        let facade = Facade::start(&["--images", images]).await;
        facade.place(Session { audit_images: 1, ..frozen(&id(1), Status::Succeeded) });
        for _ in 0..2 {
            let response = facade.call(with_view(&id(1), ResultView::Full)).await.expect("an answer");
            assert_eq!(response.image_content(), ImageContent::Withheld);
            let (reference, audit) = sizes(&response);
            assert_eq!((reference > 0, audit), (expected, vec![0]));
        }
        assert_eq!(facade.simulator.reads(), 1);
    }
}

#[tokio::test]
async fn challenge_feedback_and_metadata_are_passed_on() {
    let facade = Facade::start(&[]).await;
    facade.place(Session {
        challenge: Some(Challenge { kind: ChallengeType::FaceMovementChallenge, version: "1.0.0".into() }),
        feedback: vec![Feedback { code: FeedbackCode::EyesClosedDetected, message: "Open your eyes.".into() }],
        sdk_type: Some("FaceLivenessDetectorWeb".into()),
        ..frozen(&id(1), Status::Succeeded)
    });
    let result = facade.get(&id(1)).await.expect("an answer").result.expect("a result");
    let challenge = result.challenge.expect("a challenge");
    assert_eq!((challenge.r#type.as_str(), challenge.version.as_str()), ("FaceMovementChallenge", "1.0.0"));
    assert_eq!(result.feedback[0].code, "EYES_CLOSED_DETECTED");
    assert_eq!(result.feedback[0].message, "Open your eyes.");
    assert_eq!(result.metadata.expect("metadata").sdk_type, "FaceLivenessDetectorWeb");
}

#[tokio::test]
async fn a_session_is_followed_through_its_life() {
    let config = simulator::Config {
        created_for: Duration::from_millis(300),
        in_progress_for: Duration::from_millis(500),
        ..Default::default()
    };
    let facade = Facade::with(&["--pending-ttl", "20ms"], config).await;
    facade.place(Session { pace: Pace::FromFirstRead, ..Session::new(id(1)) });
    for expected in [LivenessStatus::Created, LivenessStatus::InProgress, LivenessStatus::Succeeded] {
        eventually(expected.as_str_name(), async || {
            let response = facade.get(&id(1)).await.expect("an answer");
            response.result.expect("a result").status() == expected
        })
        .await;
    }
}

#[tokio::test]
async fn a_wait_is_answered_when_the_session_ends_and_a_short_one_with_its_state() {
    let config = simulator::Config {
        created_for: Duration::from_millis(400),
        in_progress_for: Duration::from_millis(400),
        ..Default::default()
    };
    let facade = Facade::with(&["--pending-ttl", "20ms"], config).await;
    facade.place(Session { pace: Pace::FromFirstRead, ..Session::new(id(1)) });
    let waiting = |millis: i32| proto::GetLivenessResultRequest {
        wait: Some(prost_types::Duration { seconds: 0, nanos: millis * 1_000_000 }),
        ..request(&id(1))
    };
    let short = facade.call(waiting(100)).await.expect("an answer").result.expect("a result");
    assert_eq!(short.status(), LivenessStatus::Created);
    let long = proto::GetLivenessResultRequest {
        wait: Some(prost_types::Duration { seconds: 20, nanos: 0 }),
        ..request(&id(1))
    };
    let long = facade.call(long).await.expect("an answer").result.expect("a result");
    assert_eq!(long.status(), LivenessStatus::Succeeded);
}

#[tokio::test]
async fn a_wait_that_outlasts_the_deadline_is_answered_with_the_state_and_not_with_an_error() {
    let facade = Facade::start(&[]).await;
    facade.place(frozen(&id(1), Status::Created));
    let wait = Some(prost_types::Duration { seconds: 50, nanos: 0 });
    let mut client = facade.client().await;
    // The answer has a head start of 50 ms, which a machine that does much else may need for itself.
    for attempt in 1.. {
        let mut request = tonic::Request::new(proto::GetLivenessResultRequest { wait, ..request(&id(1)) });
        request.set_timeout(Duration::from_millis(700));
        match client.get_liveness_result(request).await {
            Err(_) if attempt < 5 => {}
            answer => {
                let result = answer.expect("a state").into_inner().result.expect("a result");
                return assert_eq!(result.status(), LivenessStatus::Created);
            }
        }
    }
}
