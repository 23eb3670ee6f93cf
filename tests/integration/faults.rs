//! The fault matrix: whatever goes wrong at AWS's edge, what a caller is told, what is remembered
//! after, what it costs in reads and in time; and that it passes, and leaves nothing behind. `cargo
//! test --test integration faults -- --nocapture` prints it.

mod clock;
mod credentials;
mod edge;
mod matrix;
mod road;

pub use edge::{At, Edge};

use crate::facade::id;
use face_liveness_facade::simulator::FaultKind;
use matrix::{Cached, Expected, Row, run};
use road::Trouble;
use std::time::Duration;
use tonic::Code;

/// What the pauses before a second and a third attempt take at most.
const BACKOFFS: Duration = Duration::from_millis(600);

/// What work takes on a busy machine at most.
const WORK: Duration = Duration::from_secs(2);

const fn at_once(code: Code, reason: &'static str, cached: Cached) -> Expected {
    Expected { code, reason, cached, reads: 1, least: Duration::ZERO, most: WORK }
}

const fn after_three_attempts(code: Code, reason: &'static str) -> Expected {
    let most = BACKOFFS.saturating_add(WORK);
    Expected { code, reason, cached: Cached::Error, reads: 3, least: Duration::ZERO, most }
}

const NOT_FOUND: Expected = at_once(Code::NotFound, "SESSION_NOT_FOUND", Cached::NotFound);
const INVALID: Expected = at_once(Code::InvalidArgument, "UPSTREAM_INVALID_PARAMETER", Cached::Nothing);
const DENIED: Expected = at_once(Code::PermissionDenied, "UPSTREAM_ACCESS_DENIED", Cached::Nothing);
const CREDENTIALS: Expected = at_once(Code::Unavailable, "UPSTREAM_CREDENTIALS", Cached::Error);
const MALFORMED: Expected = at_once(Code::Internal, "UPSTREAM_MALFORMED", Cached::Nothing);
const UNKNOWN: Expected = at_once(Code::Unknown, "UPSTREAM_UNKNOWN", Cached::Nothing);
const THROTTLED: Expected = after_three_attempts(Code::ResourceExhausted, "UPSTREAM_THROTTLED");
const UNAVAILABLE: Expected = after_three_attempts(Code::Unavailable, "UPSTREAM_UNAVAILABLE");
const UNREACHABLE: Expected = Expected { reads: 0, ..UNAVAILABLE };
/// Of rows with [`SHORT`].
const TIMEOUT: Expected = Expected {
    least: Duration::from_millis(1_500),
    most: Duration::from_millis(1_500).saturating_add(BACKOFFS).saturating_add(WORK),
    ..after_three_attempts(Code::Unavailable, "UPSTREAM_TIMEOUT")
};
pub const SHORT: &[&str] = &["--upstream-timeout", "500ms"];
/// No name server is asked for it.
const TOO_LONG_A_NAME: &str = "a-label-of-more-than-sixty-three-characters-which-is-the-most-there-is.invalid";
const ANSWER: Expected = at_once(Code::Ok, "", Cached::Answer);

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_has_its_status_its_memory_its_reads_and_its_time_and_passes() {
    // The slow ones first.
    run(troubles_on_the_way().into_iter().chain(error_codes()).chain(answers_that_are_no_result()).collect()).await;
}

/// What AWS, or somebody before it, answers in these rows.
pub fn answers() -> Vec<FaultKind> {
    let rows = troubles_on_the_way().into_iter().chain(error_codes()).chain(answers_that_are_no_result());
    let answer = |row: Row| match row.at {
        At::Answer(kind) => Some(kind),
        At::Road(_) | At::Name(_) => None,
    };
    rows.filter_map(answer).collect()
}

/// Where nothing is answered in these rows.
pub fn roads() -> Vec<At> {
    troubles_on_the_way().into_iter().map(|row| row.at).filter(|at| !matches!(at, At::Answer(_))).collect()
}

fn error_codes() -> Vec<Row> {
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
        // Those that all of AWS may answer, which no model of Rekognition has.
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
    ];
    let rows = rows.map(|(code, status, expected)| {
        let message = Some("arn:aws:iam::123456789012:role/secret".into());
        let at = At::Answer(FaultKind::Error { code: code.into(), status, message });
        Row { fault: format!("{status} {code}"), at, expected, flags: &[] }
    });
    rows.into()
}

fn answers_that_are_no_result() -> Vec<Row> {
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
        ("a status of tomorrow", 200, result(r#""Status":"REVIEW""#), ANSWER),
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
        let at = At::Answer(FaultKind::Raw { status, content_type: Some(kind.into()), body });
        Row { fault: format!("{status} {what}"), at, expected, flags: &[] }
    });
    rows.collect()
}

fn troubles_on_the_way() -> Vec<Row> {
    let rows = [
        ("nothing before the answer", At::Answer(FaultKind::Hang), TIMEOUT, SHORT),
        ("nothing within the body", At::Answer(FaultKind::HangBody), TIMEOUT, SHORT),
        ("a body that drips for ever", At::Road(Trouble::Drip), TIMEOUT, SHORT),
        ("a body without end", At::Road(Trouble::Flood), MALFORMED, &[]),
        ("a body cut short", At::Answer(FaultKind::CutBody), UNAVAILABLE, &[]),
        ("closed without an answer", At::Road(Trouble::Closed), UNAVAILABLE, &[]),
        ("an answer that is no HTTP", At::Road(Trouble::Gibberish), UNAVAILABLE, &[]),
        ("connection reset", At::Road(Trouble::Reset), UNAVAILABLE, &[]),
        ("connection refused", At::Road(Trouble::Refused), UNREACHABLE, &[]),
        ("a host name that does not resolve", At::Name(TOO_LONG_A_NAME), UNREACHABLE, &[]),
    ];
    let rows = rows.map(|(fault, at, expected, flags)| Row { fault: fault.into(), at, expected, flags });
    rows.into()
}
