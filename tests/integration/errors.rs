//! What an error carries, and the rows of the error table that a caller's own request brings about.

use crate::facade::{Facade, id, reason, request};
use face_liveness_facade::{proto, simulator::FaultKind};
use std::time::{Duration, Instant};
use tonic::{Code, Status};
use tonic_types::StatusExt;

fn error(code: &str, status: u16) -> FaultKind {
    FaultKind::Error { code: code.into(), status, message: Some("arn:aws:iam::123456789012:role/secret".into()) }
}

/// The details that every error has, and those of its code.
pub fn assert_details(status: &Status, retried: bool, what: &str) {
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, "face-liveness-facade", "{what}");
    assert_eq!(info.metadata.get("region").map(String::as_str), Some("us-east-1"), "{what}");
    assert_eq!(details.retry_info().is_some(), retried, "{what}");
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").is_some(), retried, "{what}");
    assert_eq!(details.resource_info().is_some(), status.code() == Code::NotFound, "{what}");
    assert_eq!(details.bad_request().is_some(), reason(status) == "INVALID_REQUEST", "{what}");
    assert!(!format!("{status:?}").contains("arn:aws"), "AWS's message reaches nobody: {what}");
}

#[tokio::test]
async fn awss_code_and_request_id_are_told_in_the_metadata() {
    let facade = Facade::start(&[]).await;
    facade.fault(error("com.amazonaws.rekognition#AccessDeniedException", 400));
    let status = facade.get(&id(1)).await.expect_err("denied");
    let details = status.get_error_details();
    let metadata = &details.error_info().expect("an ErrorInfo").metadata;
    assert_eq!(metadata["awsErrorCode"], "AccessDeniedException");
    assert_eq!(metadata["awsRequestId"].len(), 36);
}

#[tokio::test]
async fn a_deadline_that_is_about_to_pass_is_told_as_such_and_in_time() {
    let facade = Facade::start(&[]).await;
    facade.fault(FaultKind::Hang);
    let mut request = tonic::Request::new(request(&id(1)));
    request.set_timeout(Duration::from_millis(500));
    let started = Instant::now();
    let status = facade.client().await.get_liveness_result(request).await.expect_err("too late");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert_details(&status, false, "deadline");
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_pushback_that_does_not_fit_the_deadline_stops_the_client() {
    let facade = Facade::start(&[]).await;
    facade.fault(error("ExpiredTokenException", 400));
    let mut request = tonic::Request::new(request(&id(1)));
    request.set_timeout(Duration::from_secs(4));
    let status = facade.client().await.get_liveness_result(request).await.expect_err("no credentials");
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").expect("a pushback"), "-1");
}

#[tokio::test]
async fn a_malformed_request_is_refused_here_and_never_sent_to_aws() {
    let facade = Facade::start(&[]).await;
    let negative = proto::GetLivenessResultRequest {
        wait: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
        ..request(&id(1))
    };
    let fraction = proto::GetLivenessResultRequest { min_confidence: Some(0.9), ..request(&id(1)) };
    for (request, field) in [
        (request("not-a-uuid"), "session_id"),
        (request(&id(1).to_uppercase()), "session_id"),
        (negative, "wait"),
        (fraction, "min_confidence"),
    ] {
        let status = facade.call(request).await.expect_err(field);
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
        assert_details(&status, false, field);
        let details = status.get_error_details();
        assert_eq!(details.bad_request().expect("a BadRequest").field_violations[0].field, field);
    }
    assert_eq!(facade.simulator.reads(), 0);
}
