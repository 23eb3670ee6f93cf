//! Nothing of a person in a log, at any level.

use crate::{
    facade::{eventually, id, request},
    program::{serve, simulator},
};
use face_liveness_facade::{
    proto::{self, ResultView, face_liveness_service_client::FaceLivenessServiceClient},
    simulator::{Fault, FaultKind, ImageStore, Outcome, Pace, Session, Status},
};

#[tokio::test]
async fn no_face_score_key_or_session_id_reaches_the_log_though_it_logs_all() {
    let (simulator, endpoint) = simulator().await;
    // Long enough for a busy machine to draw the faces, and short for the answer that hangs.
    let running = serve(
        &["--log-level", "trace", "--access-log", "all", "--not-found-ttl", "0s", "--upstream-timeout", "1500ms"],
        &[
            ("AWS_ENDPOINT_URL_REKOGNITION", &endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "any"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
        ],
    );
    let images = ImageStore::S3 { bucket: "faces".into(), prefix: "planted-key".into(), version: None };
    let succeeded = Session {
        outcome: Outcome::Succeeded { confidence: Some(87.654) },
        pace: Pace::Frozen(Status::Succeeded),
        audit_images: 1,
        ..Session::new(id(1))
    };
    simulator.place(Session { id: id(2), images, ..succeeded.clone() });
    simulator.place(succeeded);
    let mut client =
        FaceLivenessServiceClient::connect(format!("http://{}", running.address)).await.expect("it listens");

    let mut face = Vec::new();
    for number in [1, 1, 2] {
        let full = proto::GetLivenessResultRequest { view: ResultView::Full.into(), ..request(&id(number)) };
        let result = client.get_liveness_result(full).await.expect("an answer").into_inner().result.expect("a result");
        assert_eq!(result.confidence, Some(87.654));
        face.extend_from_slice(&result.reference_image.expect("an image").content);
    }
    // The planted face comes back in answers that the SDK cannot read, and in errors.
    let base64 = "UExBTlRFRC1GQUNF";
    let body = |end: &str| {
        format!(
            r#"{{"SessionId":"{}","Status":"SUCCEEDED","Confidence":87.654,"ReferenceImage":{{"Bytes":"{base64}{end}"#,
            id(3)
        )
    };
    let raw = |status, body| FaultKind::Raw { status, content_type: None, body };
    let named = |code: &str| FaultKind::Error { code: code.into(), status: 400, message: Some(base64.into()) };
    let faults = [
        raw(200, body("*\"}}")),
        raw(200, body("")),
        raw(500, body("\"}}")),
        named("ValidationException"),
        named("SomethingOfTomorrow"),
        named("ThrottlingException"),
        FaultKind::CutBody,
        FaultKind::HangBody,
    ];
    for kind in faults {
        simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(3)) });
        simulator.script(Fault::new(kind));
        client.get_liveness_result(request(&id(3))).await.expect_err("a fault");
        simulator.clear_faults();
    }
    client.get_liveness_result(request(&id(4))).await.expect_err("not found");
    eventually("the last error is logged", async || running.log().contains("SESSION_NOT_FOUND")).await;

    let log = running.log();
    for number in 1..=4 {
        assert!(!log.contains(&id(number)));
    }
    let jpeg: String = face[..16].iter().map(|byte| format!("{byte}, ")).collect();
    for secret in ["87.654", "planted-key", base64, "PLANTED-FACE", "/9j/4A", jpeg.trim_end_matches(", ")] {
        assert!(!log.contains(secret), "{secret} in the log");
    }
    assert!(log.contains("UPSTREAM_MALFORMED") && log.contains("asked"), "the log tells what happened");
}

#[tokio::test]
async fn by_default_an_answer_is_logged_only_when_a_face_leaves_with_it() {
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    let running = serve(
        &[],
        &[
            ("AWS_ENDPOINT_URL_REKOGNITION", &endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "any"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
        ],
    );
    let mut client =
        FaceLivenessServiceClient::connect(format!("http://{}", running.address)).await.expect("it listens");
    for view in [ResultView::Basic, ResultView::Basic, ResultView::Reference] {
        let asked = proto::GetLivenessResultRequest { view: view.into(), ..request(&id(1)) };
        client.get_liveness_result(asked).await.expect("an answer");
    }
    eventually("the face is logged", async || running.log().contains(r#""images":true"#)).await;
    assert_eq!(running.log().matches(r#""target":"access""#).count(), 1);
}
