//! Every row of the error table that AWS, the network or a caller can bring about, as a caller sees it.

use crate::facade::{Facade, id, reason, request};
use face_liveness_facade::{
    proto,
    simulator::{FaultKind, Simulator},
};
use std::time::{Duration, Instant};
use tonic::{Code, Status};
use tonic_types::StatusExt;

fn error(code: &str, status: u16) -> FaultKind {
    FaultKind::Error { code: code.into(), status, message: Some("arn:aws:iam::123456789012:role/secret".into()) }
}

fn raw(status: u16, body: &str) -> FaultKind {
    FaultKind::Raw { status, content_type: Some("text/html".into()), body: body.into() }
}

/// The details that every error has, and those of its code.
fn assert_details(status: &Status, retried: bool, what: &str) {
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
async fn every_answer_of_aws_that_is_no_result_has_its_row() {
    // Without a limiter throttling is answered and not waited out.
    let facade = Facade::start(&["--quota-tps", "0"]).await;
    let other_session = format!(r#"{{"SessionId":"{}","Status":"SUCCEEDED","Confidence":99.0}}"#, id(99));
    let no_status = r#"{"SessionId":"THIS","Confidence":99.0}"#;
    let too_sure = r#"{"SessionId":"THIS","Status":"SUCCEEDED","Confidence":1e60}"#;
    let bad_base64 = r#"{"SessionId":"THIS","Status":"SUCCEEDED","ReferenceImage":{"Bytes":"*"}}"#;
    let rows = [
        (error("SessionNotFoundException", 400), Code::NotFound, "SESSION_NOT_FOUND", false),
        (error("InvalidParameterException", 400), Code::InvalidArgument, "UPSTREAM_INVALID_PARAMETER", false),
        (error("ValidationException", 400), Code::InvalidArgument, "UPSTREAM_INVALID_PARAMETER", false),
        (error("AccessDeniedException", 400), Code::PermissionDenied, "UPSTREAM_ACCESS_DENIED", false),
        (error("ThrottlingException", 400), Code::ResourceExhausted, "UPSTREAM_THROTTLED", true),
        (error("ThrottlingException", 500), Code::ResourceExhausted, "UPSTREAM_THROTTLED", true),
        (error("ProvisionedThroughputExceededException", 400), Code::ResourceExhausted, "UPSTREAM_THROTTLED", true),
        (error("LimitExceededException", 400), Code::ResourceExhausted, "UPSTREAM_THROTTLED", true),
        (raw(429, ""), Code::ResourceExhausted, "UPSTREAM_THROTTLED", true),
        (error("InternalServerError", 500), Code::Unavailable, "UPSTREAM_UNAVAILABLE", true),
        (error("InternalFailure", 500), Code::Unavailable, "UPSTREAM_UNAVAILABLE", true),
        (error("ServiceUnavailable", 503), Code::Unavailable, "UPSTREAM_UNAVAILABLE", true),
        (raw(502, "<h1>Bad gateway</h1>"), Code::Unavailable, "UPSTREAM_UNAVAILABLE", true),
        (raw(503, "<h1>Down</h1>"), Code::Unavailable, "UPSTREAM_UNAVAILABLE", true),
        (error("UnrecognizedClientException", 400), Code::Unavailable, "UPSTREAM_CREDENTIALS", true),
        (error("ExpiredTokenException", 403), Code::Unavailable, "UPSTREAM_CREDENTIALS", true),
        (error("InvalidSignatureException", 400), Code::Unavailable, "UPSTREAM_CREDENTIALS", true),
        (raw(200, ""), Code::Internal, "UPSTREAM_MALFORMED", false),
        (raw(200, "{}"), Code::Internal, "UPSTREAM_MALFORMED", false),
        (raw(204, ""), Code::Internal, "UPSTREAM_MALFORMED", false),
        (raw(200, "{\"SessionId\""), Code::Internal, "UPSTREAM_MALFORMED", false),
        (raw(200, &other_session), Code::Internal, "UPSTREAM_MALFORMED", false),
        (raw(200, no_status), Code::Internal, "UPSTREAM_MALFORMED", false),
        (raw(200, too_sure), Code::Internal, "UPSTREAM_MALFORMED", false),
        (raw(200, bad_base64), Code::Internal, "UPSTREAM_MALFORMED", false),
        (error("SomethingOfTomorrowException", 400), Code::Unknown, "UPSTREAM_UNKNOWN", false),
        (raw(403, "<h1>Proxy</h1>"), Code::Unknown, "UPSTREAM_UNKNOWN", false),
    ];
    // A session of its own for each: an error that may pass is remembered for a while.
    for (number, (mut kind, code, expected, retried)) in (1..).zip(rows) {
        let what = format!("{kind:?}");
        if let FaultKind::Raw { body, .. } = &mut kind {
            *body = body.replace("THIS", &id(number));
        }
        facade.fault(kind);
        let status = facade.get(&id(number)).await.expect_err(&what);
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{what}");
        assert_details(&status, retried, &what);
        facade.simulator.clear_faults();
    }
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
async fn an_answer_cut_short_is_an_unavailable_aws() {
    let facade = Facade::start(&[]).await;
    facade.fault(FaultKind::CutBody);
    let status = facade.get(&id(1)).await.expect_err("cut");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "UPSTREAM_UNAVAILABLE"));
    assert_details(&status, true, "cut body");
    assert_eq!(facade.simulator.reads(), 3, "after three attempts");
}

#[tokio::test]
async fn an_aws_that_refuses_connections_is_unavailable() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let simulator = Simulator::new(Default::default());
    let facade = Facade::reading(&format!("http://{closed}"), simulator, &[]).await;
    let status = facade.get(&id(1)).await.expect_err("refused");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "UPSTREAM_UNAVAILABLE"));
    assert_details(&status, true, "refused");
}

#[tokio::test]
async fn an_aws_that_hangs_times_out_before_the_callers_deadline() {
    for kind in [FaultKind::Hang, FaultKind::HangBody] {
        let facade = Facade::start(&["--upstream-timeout", "100ms"]).await;
        facade.place(face_liveness_facade::simulator::Session::new(id(1)));
        facade.fault(kind);
        let status = facade.get(&id(1)).await.expect_err("timed out");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "UPSTREAM_TIMEOUT"));
        assert_details(&status, true, "timed out");
    }
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
