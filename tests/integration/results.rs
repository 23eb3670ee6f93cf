//! The responses for every status, view and verdict.

use crate::facade::{Facade, eventually, id, request};
use face_liveness_facade::{
    proto::{self, ImageContent, LivenessStatus, ResultView, Verdict},
    simulator::{Challenge, ChallengeType, Feedback, FeedbackCode, ImageStore, Outcome, Pace, Session, Status},
};
use std::time::Duration;

fn frozen(id: &str, status: Status) -> Session {
    Session { pace: Pace::Frozen(status), ..Session::new(id) }
}

fn with_view(id: &str, view: ResultView) -> proto::GetLivenessResultRequest {
    proto::GetLivenessResultRequest { view: view.into(), ..request(id) }
}

/// Returns the sizes of the reference image and of the audit images in a response.
fn sizes(response: &proto::GetLivenessResultResponse) -> (usize, Vec<usize>) {
    let result = response.result.as_ref().expect("a result");
    let reference = result.reference_image.as_ref().map_or(0, |image| image.content.len());
    (reference, result.audit_images.iter().map(|image| image.content.len()).collect())
}

#[tokio::test]
async fn every_status_is_returned_with_its_verdict() {
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
        let response = facade.call(request).await.expect("a response");
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
    for (requested, applied) in [(None, 80.0), (Some(50.0), 80.0), (Some(90.0), 90.0)] {
        let request = proto::GetLivenessResultRequest { min_confidence: requested, ..request(&id(1)) };
        let response = facade.call(request).await.expect("a response");
        assert_eq!((response.applied_min_confidence, response.verdict()), (Some(applied), Verdict::NotLive));
    }
}

#[tokio::test]
async fn without_a_threshold_the_verdict_is_unspecified() {
    let facade = Facade::start(&[]).await;
    facade.place(frozen(&id(1), Status::Succeeded));
    let response = facade.get(&id(1)).await.expect("a response");
    assert_eq!((response.applied_min_confidence, response.verdict()), (None, Verdict::Unspecified));
}

#[tokio::test]
async fn a_view_contains_its_images_as_aws_sent_them() {
    let facade = Facade::start(&[]).await;
    facade.place(Session { audit_images: 4, ..frozen(&id(1), Status::Succeeded) });
    let full = facade.call(with_view(&id(1), ResultView::Full)).await.expect("a response");
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
        let response = facade.call(with_view(&id(1), view)).await.expect("a response");
        assert_eq!((sizes(&response), response.image_content()), (expected, content), "{view:?}");
        assert!(response.image_expire_time.is_some());
    }
}

#[tokio::test]
async fn images_in_s3_are_returned_by_reference() {
    let facade = Facade::start(&[]).await;
    let images = ImageStore::S3 { bucket: "faces".into(), prefix: "checks".into(), version: None };
    facade.place(Session { images, ..frozen(&id(1), Status::Succeeded) });
    let response = facade.call(with_view(&id(1), ResultView::Full)).await.expect("a response");
    assert_eq!(response.image_content(), ImageContent::Absent);
    assert!(response.image_expire_time.is_none());
    let object = response.result.and_then(|result| result.reference_image?.s3_object).expect("an object");
    assert_eq!(object.bucket, "faces");
    assert!(object.name.starts_with("checks/"), "{}", object.name);
}

#[tokio::test]
async fn a_server_that_withholds_images_reports_it() {
    for (images, expected) in [("reference", true), ("none", false)] {
        let facade = Facade::start(&["--images", images]).await;
        facade.place(Session { audit_images: 1, ..frozen(&id(1), Status::Succeeded) });
        for _ in 0..2 {
            let response = facade.call(with_view(&id(1), ResultView::Full)).await.expect("a response");
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
    let result = facade.get(&id(1)).await.expect("a response").result.expect("a result");
    let challenge = result.challenge.expect("a challenge");
    assert_eq!((challenge.r#type.as_str(), challenge.version.as_str()), ("FaceMovementChallenge", "1.0.0"));
    assert_eq!(result.feedback[0].code, "EYES_CLOSED_DETECTED");
    assert_eq!(result.feedback[0].message, "Open your eyes.");
    assert_eq!(result.metadata.expect("metadata").sdk_type, "FaceLivenessDetectorWeb");
}

#[tokio::test]
async fn the_next_call_returns_the_new_status_of_the_session() {
    let facade = Facade::start(&["--pending-ttl", "20ms"]).await;
    for (status, expected) in [
        (Status::Created, LivenessStatus::Created),
        (Status::InProgress, LivenessStatus::InProgress),
        (Status::Succeeded, LivenessStatus::Succeeded),
    ] {
        facade.place(frozen(&id(1), status));
        eventually(expected.as_str_name(), async || {
            let response = facade.get(&id(1)).await.expect("a response");
            response.result.expect("a result").status() == expected
        })
        .await;
    }
}

fn with_wait(id: &str, wait: Duration) -> proto::GetLivenessResultRequest {
    let wait = wait.try_into().expect("a short wait");
    proto::GetLivenessResultRequest { wait: Some(wait), ..request(id) }
}

#[tokio::test]
async fn a_wait_returns_at_the_final_status_and_a_shorter_one_the_pending_status() {
    let facade = Facade::start(&["--pending-ttl", "20ms"]).await;
    facade.place(frozen(&id(1), Status::Created));
    let short = facade.call(with_wait(&id(1), Duration::from_millis(100))).await.expect("a response");
    assert_eq!(short.result.expect("a result").status(), LivenessStatus::Created);

    let mut client = facade.client().await;
    let request = with_wait(&id(1), Duration::from_secs(20));
    let long = tokio::spawn(async move { client.get_liveness_result(request).await });
    let in_flight = async || facade.metric("face_liveness_requests_in_flight").await == 1.0;
    eventually("the call is in flight", in_flight).await;
    let reads = facade.simulator.reads_answered("CREATED");
    let read_again = async || facade.simulator.reads_answered("CREATED") > reads + 2;
    eventually("the session is still CREATED for the waiting caller", read_again).await;
    assert!(!long.is_finished(), "a pending status ends no wait");

    facade.place(frozen(&id(1), Status::Succeeded));
    let long = tokio::time::timeout(Duration::from_secs(10), long).await.expect("before the wait is over");
    let long = long.expect("the caller does not panic").expect("a response").into_inner();
    assert_eq!(long.result.expect("a result").status(), LivenessStatus::Succeeded);
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_returns_the_pending_status_instead_of_an_error() {
    let facade = Facade::start(&[]).await;
    facade.place(frozen(&id(1), Status::Created));
    facade.get(&id(1)).await.expect("a response");
    let call = facade.open("700m").await;
    let response = call.send(with_wait(&id(1), Duration::from_secs(50))).await.expect("a status");
    assert_eq!(response.result.expect("a result").status(), LivenessStatus::Created);
}
