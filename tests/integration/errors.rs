//! What an error carries, and the rows of the error table that a caller's own request brings about.

use crate::facade::{Facade, id, reason, request};
use face_liveness_facade::{proto, simulator::FaultKind};
use prost::Message;
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::{
    Code, Status,
    codegen::{Bytes, http},
};
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
    let mut client = facade.client().await;
    // The answer has a head start of 50 ms, which a machine that does much else may need for itself.
    for attempt in 1.. {
        let mut request = tonic::Request::new(request(&id(1)));
        request.set_timeout(Duration::from_millis(500));
        let status = client.get_liveness_result(request).await.expect_err("too late");
        // Without a reason it is the client's own error, which did not wait any longer.
        if reason(&status).is_empty() && attempt < 5 {
            continue;
        }
        assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        return assert_details(&status, false, "deadline");
    }
}

#[tokio::test]
async fn a_deadline_counts_from_the_headers_on_though_the_message_comes_later() {
    let facade = Facade::start(&[]).await;
    facade.fault(FaultKind::Hang);
    let stream = TcpStream::connect(facade.address).await.expect("it listens");
    let (mut client, connection) =
        h2::client::Builder::new().handshake::<_, Bytes>(stream).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    let call = http::Request::post("http://localhost/faceliveness.v1.FaceLivenessService/GetLivenessResult");
    let call = call.header("content-type", "application/grpc").header("grpc-timeout", "500m");
    let (answer, mut message) = client.send_request(call.body(()).expect("it is sound"), false).expect("it is open");
    // Longer than the head start of the answer.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let content = request(&id(1)).encode_to_vec();
    let prefix = [0, 0, 0, 0, content.len() as u8];
    message.send_data([&prefix, &content[..]].concat().into(), true).expect("it is open");
    let answer = answer.await.expect("an answer");
    let status = Status::from_header_map(answer.headers()).expect("a status alone");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
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
