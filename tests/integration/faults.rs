//! The fault matrix. For each fault of AWS or of the network: what the caller gets, what is cached,
//! how many reads it costs, how long it takes, and that the service recovers.
//! `cargo test --test integration faults -- --nocapture` prints it.

mod clock;
mod credentials;
mod faulty_aws;
mod matrix;
mod proxy;

pub use faulty_aws::{FaultyAws, Injection};

use crate::facade::id;
use face_liveness_facade::simulator::FaultKind;
use matrix::{Cached, Expected, Row, run};
use proxy::ConnectionFault;
use std::time::Duration;
use tonic::Code;

/// The longest sum of both retry delays.
const RETRY_DELAYS: Duration = Duration::from_millis(600);

/// The longest processing time on a busy machine.
const PROCESSING: Duration = Duration::from_secs(4);

const fn immediately(code: Code, reason: &'static str, cached: Cached) -> Expected {
    Expected { code, reason, cached, reads: 1, least: Duration::ZERO, most: PROCESSING }
}

const fn after_three_attempts(code: Code, reason: &'static str) -> Expected {
    let most = RETRY_DELAYS.saturating_add(PROCESSING);
    Expected { code, reason, cached: Cached::Error, reads: 3, least: Duration::ZERO, most }
}

const NOT_FOUND: Expected = immediately(Code::NotFound, "SESSION_NOT_FOUND", Cached::NotFound);
const INVALID: Expected = immediately(Code::InvalidArgument, "UPSTREAM_INVALID_PARAMETER", Cached::Nothing);
const DENIED: Expected = immediately(Code::PermissionDenied, "UPSTREAM_ACCESS_DENIED", Cached::Nothing);
const CREDENTIALS: Expected = immediately(Code::Unavailable, "UPSTREAM_CREDENTIALS", Cached::Error);
const MALFORMED: Expected = immediately(Code::Internal, "UPSTREAM_MALFORMED", Cached::Nothing);
const UNKNOWN: Expected = immediately(Code::Unknown, "UPSTREAM_UNKNOWN", Cached::Nothing);
const THROTTLED: Expected = after_three_attempts(Code::ResourceExhausted, "UPSTREAM_THROTTLED");
const UNAVAILABLE: Expected = after_three_attempts(Code::Unavailable, "UPSTREAM_UNAVAILABLE");
const UNREACHABLE: Expected = Expected { reads: 0, ..UNAVAILABLE };
/// For rows with [`SHORT_TIMEOUT`].
const TIMEOUT: Expected = Expected {
    least: Duration::from_millis(1_500),
    most: Duration::from_millis(1_500).saturating_add(RETRY_DELAYS).saturating_add(PROCESSING),
    ..after_three_attempts(Code::Unavailable, "UPSTREAM_TIMEOUT")
};
pub const SHORT_TIMEOUT: &[&str] = &["--upstream-timeout", "500ms"];
/// Its label is too long for DNS, so no name server is queried.
const UNRESOLVABLE_NAME: &str = "a-label-of-more-than-sixty-three-characters-which-is-the-most-there-is.invalid";
const RESPONSE: Expected = immediately(Code::Ok, "", Cached::Response);

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_has_its_status_caching_reads_and_duration_and_recovers() {
    // The slow rows first.
    run(connection_rows().into_iter().chain(error_code_rows()).chain(malformed_response_rows()).collect()).await;
}

/// Returns the responses that AWS, or a proxy in front of it, sends in these rows.
pub fn responses() -> Vec<FaultKind> {
    let rows = connection_rows().into_iter().chain(error_code_rows()).chain(malformed_response_rows());
    let response = |row: Row| match row.injection {
        Injection::Response(kind) => Some(kind),
        Injection::Connection(_) | Injection::HostName(_) => None,
    };
    rows.filter_map(response).collect()
}

/// Returns the faults without a response.
pub fn connection_faults() -> Vec<Injection> {
    let injections = connection_rows().into_iter().map(|row| row.injection);
    injections.filter(|injection| !matches!(injection, Injection::Response(_))).collect()
}

fn error_code_rows() -> Vec<Row> {
    let rows = [
        ("AccessDeniedException", 400, DENIED),
        ("InternalServerError", 500, UNAVAILABLE),
        ("InvalidParameterException", 400, INVALID),
        ("SessionNotFoundException", 400, NOT_FOUND),
        ("ThrottlingException", 400, THROTTLED),
        ("ThrottlingException", 500, THROTTLED),
        ("ProvisionedThroughputExceededException", 400, THROTTLED),
        ("com.amazonaws.rekognition#SessionNotFoundException", 400, NOT_FOUND),
        ("com.amazonaws.rekognition#ThrottlingException", 400, THROTTLED),
        // Common errors of AWS that Rekognition's model does not have.
        ("ExpiredTokenException", 403, CREDENTIALS),
        ("IncompleteSignature", 403, CREDENTIALS),
        ("InvalidSignatureException", 400, CREDENTIALS),
        ("MissingAuthenticationToken", 403, CREDENTIALS),
        ("RequestExpired", 400, CREDENTIALS),
        ("UnrecognizedClientException", 403, CREDENTIALS),
        ("NotAuthorized", 401, DENIED),
        ("OptInRequired", 403, DENIED),
        ("InternalFailure", 500, UNAVAILABLE),
        ("RequestAbortedException", 400, UNAVAILABLE),
        ("RequestTimeoutException", 408, UNAVAILABLE),
        ("ServiceUnavailable", 503, UNAVAILABLE),
        ("ServiceUnavailableException", 503, UNAVAILABLE),
        ("LimitExceededException", 400, THROTTLED),
        ("ValidationError", 400, INVALID),
        ("ValidationException", 400, INVALID),
        ("MalformedHttpRequestException", 400, UNKNOWN),
        ("RequestEntityTooLargeException", 413, UNKNOWN),
        ("SerializationException", 400, UNKNOWN),
        ("UnknownOperationException", 404, UNKNOWN),
        ("SomethingOfTomorrowException", 400, UNKNOWN),
        ("SomethingOfTomorrowException", 503, UNAVAILABLE),
        ("SomethingOfTomorrowException", 429, THROTTLED),
    ];
    let rows = rows.map(|(code, status, expected)| {
        let message = Some("arn:aws:iam::123456789012:role/secret".into());
        let injection = Injection::Response(FaultKind::Error { code: code.into(), status, message });
        Row { fault: format!("{status} {code}"), injection, expected, flags: &[] }
    });
    rows.into()
}

fn malformed_response_rows() -> Vec<Row> {
    let result = |members: &str| format!(r#"{{"SessionId":"{}",{members}}}"#, id(1));
    let succeeded = |members: &str| result(&format!(r#""Status":"SUCCEEDED",{members}"#));
    let other_session = result("").replace(&id(1), &id(99)).replace(",}", r#","Status":"SUCCEEDED"}"#);
    let json = [
        ("empty", 200, String::new(), MALFORMED),
        ("empty", 204, String::new(), MALFORMED),
        ("{}", 200, "{}".into(), MALFORMED),
        ("truncated JSON", 200, r#"{"SessionId":"#.into(), MALFORMED),
        ("another session's result", 200, other_session, MALFORMED),
        ("no status", 200, result(r#""Confidence":99.0"#), MALFORMED),
        ("an unknown status", 200, result(r#""Status":"REVIEW""#), RESPONSE),
        ("confidence \"NaN\"", 200, succeeded(r#""Confidence":"NaN""#), MALFORMED),
        ("confidence NaN", 200, succeeded(r#""Confidence":NaN"#), MALFORMED),
        ("confidence 1e60", 200, succeeded(r#""Confidence":1e60"#), MALFORMED),
        ("confidence -1", 200, succeeded(r#""Confidence":-1"#), MALFORMED),
        ("confidence 101", 200, succeeded(r#""Confidence":101"#), MALFORMED),
        ("bad base64", 200, succeeded(r#""ReferenceImage":{"Bytes":"*"}"#), MALFORMED),
        ("bare", 429, String::new(), THROTTLED),
    ];
    let html = [(200, MALFORMED), (403, UNKNOWN), (502, UNAVAILABLE), (503, UNAVAILABLE), (504, UNAVAILABLE)];
    let html = html.map(|(status, expected)| ("HTML", status, "<h1>Proxy</h1>".to_owned(), expected));
    let rows = json.into_iter().chain(html).map(|(what, status, body, expected)| {
        let kind = if what == "HTML" { "text/html" } else { "application/x-amz-json-1.1" };
        let injection = Injection::Response(FaultKind::Raw { status, content_type: Some(kind.into()), body });
        Row { fault: format!("{status} {what}"), injection, expected, flags: &[] }
    });
    rows.collect()
}

fn connection_rows() -> Vec<Row> {
    let rows = [
        ("no response", Injection::Response(FaultKind::Hang), TIMEOUT, SHORT_TIMEOUT),
        ("no body", Injection::Response(FaultKind::HangBody), TIMEOUT, SHORT_TIMEOUT),
        ("an endless slow body", Injection::Connection(ConnectionFault::Drip), TIMEOUT, SHORT_TIMEOUT),
        ("an endless fast body", Injection::Connection(ConnectionFault::Flood), MALFORMED, &[]),
        ("a truncated body", Injection::Response(FaultKind::CutBody), UNAVAILABLE, &[]),
        ("closed without a response", Injection::Connection(ConnectionFault::Closed), UNAVAILABLE, &[]),
        ("a response that is not HTTP", Injection::Connection(ConnectionFault::NotHttp), UNAVAILABLE, &[]),
        ("connection reset", Injection::Connection(ConnectionFault::Reset), UNAVAILABLE, &[]),
        ("connection refused", Injection::Connection(ConnectionFault::ConnectionRefused), UNREACHABLE, &[]),
        ("a host name that does not resolve", Injection::HostName(UNRESOLVABLE_NAME), UNREACHABLE, &[]),
    ];
    let rows = rows.map(|(fault, injection, expected, flags)| Row { fault: fault.into(), injection, expected, flags });
    rows.into()
}
