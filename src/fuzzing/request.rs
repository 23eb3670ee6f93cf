//! The target `request`: a request message and its deadline.

use super::{SESSION_ID, assert_valid};
use crate::{
    config::is_min_confidence,
    error::{Context, Error},
    grpc::{
        deadline::{self, Deadline},
        valid_request::ValidRequest,
    },
    proto,
    session::SessionId,
};
use prost::Message;
use std::time::Duration;
use tokio::time::Instant;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The input is one byte that chooses the server's settings, a `grpc-timeout` up to the first line
/// feed, and the message.
pub fn request(data: &[u8]) {
    let [settings, data @ ..] = data else { return };
    let floor = [None, Some(1.5), Some(80.0), Some(100.0)][usize::from(settings & 3)];
    let max_wait = Duration::from_secs([0, 1, 50, 3600][usize::from(settings >> 2 & 3)]);
    let (timeout, message) = super::text::split(data, b"\n").unwrap_or((b"", data));
    let Ok(request) = proto::GetLivenessResultRequest::decode(message) else { return };
    let wait = match ValidRequest::of(&request, floor, max_wait) {
        Ok(valid) => {
            assert_accepted(&valid, &request, floor, max_wait);
            valid.wait.unwrap_or_default()
        }
        Err(error) => {
            assert_rejected(&error, &request, floor, max_wait);
            Duration::ZERO
        }
    };
    assert_deadline(timeout, wait);
    let other = proto::GetLivenessResultRequest { session_id: SESSION_ID.into(), ..request.clone() };
    assert_eq!(format!("{request:?}"), format!("{other:?}"), "ids are never printed");
}

fn assert_accepted(
    valid: &ValidRequest,
    request: &proto::GetLivenessResultRequest,
    floor: Option<f32>,
    max_wait: Duration,
) {
    assert_eq!(valid.session_id.to_wire(), request.session_id);
    assert!(valid.wait.is_none_or(|wait| !wait.is_zero() && wait <= max_wait));
    assert!(request.wait.is_none_or(|wait| wait.seconds >= 0 && (0..1_000_000_000).contains(&wait.nanos)));
    assert!((0..=3).contains(&request.view));
    let requested = request.min_confidence;
    assert_eq!(valid.min_confidence.is_some(), requested.is_some() || floor.is_some());
    if let Some(applied) = valid.min_confidence {
        assert!(is_min_confidence(applied) && [requested, floor].contains(&Some(applied)));
        assert!(requested.is_none_or(|requested| applied >= requested) && floor.is_none_or(|floor| applied >= floor));
    }
}

fn assert_rejected(error: &Error, request: &proto::GetLivenessResultRequest, floor: Option<f32>, max_wait: Duration) {
    assert_eq!(error.reason.to_string(), "INVALID_REQUEST");
    let context = Context { session_id: &request.session_id, region: None, time_left: Duration::ZERO };
    let status = error.to_status(&context);
    assert_valid(&status);
    if SessionId::parse(&request.session_id).is_none() {
        // An invalid id may be personal data, or a secret in the wrong field. The message omits it.
        let empty = proto::GetLivenessResultRequest { session_id: String::new(), ..request.clone() };
        let expected =
            ValidRequest::of(&empty, floor, max_wait).expect_err("an empty id is invalid").to_status(&context);
        assert_eq!(expected.message(), status.message());
    }
}

/// Asserts the deadline, computed a second time in nanoseconds and by gRPC's grammar.
fn assert_deadline(timeout: &[u8], wait: Duration) {
    let Ok(value) = HeaderValue::from_bytes(timeout) else { return };
    let headers = HeaderMap::from_iter([(HeaderName::from_static("grpc-timeout"), value)]);
    let (now, second) = (Instant::now(), 1_000_000_000_u128);
    let deadline = Deadline::of(deadline::timeout(&headers), now, wait);
    let unit = |unit: &u8| match unit {
        b'H' => Some(3600 * second),
        b'M' => Some(60 * second),
        b'S' => Some(second),
        b'm' => Some(1_000_000),
        b'u' => Some(1_000),
        b'n' => Some(1),
        _ => None,
    };
    let named = match timeout {
        [digits @ .., last] if (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            unit(last).map(|unit| unit * digits.iter().fold(0, |number, digit| number * 10 + u128::from(digit - b'0')))
        }
        _ => None,
    };
    let nanos = named.unwrap_or((Duration::from_secs(30) + wait).as_nanos()).min(DAY.as_nanos());
    let response_due = nanos - (nanos / 10).min(second / 20);
    assert_eq!((deadline.answer_by() - now).as_nanos(), response_due);
    assert!(deadline.time_left() <= DAY);
}
