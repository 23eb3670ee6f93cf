//! The details of errors, and the errors that a request itself causes.

use crate::facade::{Facade, eventually, id, reason, request};
use face_liveness_facade::{proto, simulator::FaultKind};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt;

fn error(code: &str, status: u16) -> FaultKind {
    FaultKind::Error { code: code.into(), status, message: Some("arn:aws:iam::123456789012:role/secret".into()) }
}

/// Asserts the details that every error has, and those of its code.
pub fn assert_details(status: &Status, retried: bool, what: &str) {
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, "face-liveness-facade", "{what}");
    assert_eq!(info.metadata.get("region").map(String::as_str), Some("us-east-1"), "{what}");
    assert_eq!(details.retry_info().is_some(), retried, "{what}");
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").is_some(), retried, "{what}");
    assert_eq!(details.resource_info().is_some(), status.code() == Code::NotFound, "{what}");
    assert_eq!(details.bad_request().is_some(), reason(status) == "INVALID_REQUEST", "{what}");
    assert!(!format!("{status:?}").contains("arn:aws"), "AWS's message is not returned: {what}");
}

#[tokio::test]
async fn error_info_contains_the_aws_error_code_and_request_id() {
    let facade = Facade::start(&[]).await;
    facade.fault(error("com.amazonaws.rekognition#AccessDeniedException", 400));
    let status = facade.get(&id(1)).await.expect_err("denied");
    let details = status.get_error_details();
    let metadata = &details.error_info().expect("an ErrorInfo").metadata;
    assert_eq!(metadata["awsErrorCode"], "AccessDeniedException");
    assert_eq!(metadata["awsRequestId"].len(), 36);
}

#[tokio::test]
async fn a_call_that_cannot_finish_in_time_gets_deadline_exceeded_from_the_server() {
    let facade = Facade::start(&[]).await;
    facade.fault(FaultKind::Hang);
    let call = facade.open("500m").await;
    let status = call.send(request(&id(1))).await.expect_err("AWS never responds");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert_details(&status, false, "deadline");
}

#[tokio::test]
async fn a_deadline_counts_from_the_headers_even_if_the_message_arrives_later() {
    let facade = Facade::start(&[]).await;
    facade.fault(FaultKind::Hang);
    let late = facade.open("2S").await;
    let in_flight = async || facade.metric("face_liveness_requests_in_flight").await == 1.0;
    eventually("the headers have arrived", in_flight).await;
    // The server's own clock: far more than the 50 ms by which it responds before a deadline.
    let ruler = facade.open("500m").await.send(request(&id(2))).await;
    assert_eq!(reason(&ruler.expect_err("AWS never responds")), "DEADLINE_EXCEEDED");
    let status = late.send(request(&id(1))).await.expect_err("AWS never responds");
    // tonic ends a call at its deadline, with a status that has no reason.
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert_eq!(facade.simulator.reads_of(&id(1)), 1, "the message arrived before the deadline");
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
async fn a_malformed_request_is_rejected_without_a_read_from_aws() {
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
