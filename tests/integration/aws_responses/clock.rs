//! The time of signatures: only a rejected signature may move it.

use super::{AwsRead, call, error, start};
use aws_sdk_rekognition::primitives::{DateTime, DateTimeFormat};
use axum::response::Response;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::SystemTime,
};

const HOUR: i64 = 3_600;

fn now() -> i64 {
    DateTime::from(SystemTime::now()).secs()
}

fn http_date(seconds: i64) -> String {
    DateTime::from_secs(seconds).fmt(DateTimeFormat::HttpDate).expect("a date of this century")
}

fn with_date(mut response: Response, date: &str) -> Response {
    response.headers_mut().insert("date", date.parse().expect("a date is ASCII"));
    response
}

/// Returns a result, or rejects a signature that is more than five minutes off.
fn check_signature(read: &AwsRead) -> Response {
    let is_valid = read.signed_at.abs_diff(now()) < 300;
    if is_valid { read.succeed() } else { error(400, "InvalidSignatureException") }
}

/// Calls twice. AWS responds to the first read as told; then it only checks signatures, and its
/// responses have no date. Returns the first response.
async fn call_twice(first: impl Fn(&AwsRead) -> Response + Send + Sync + 'static) -> Result<(), String> {
    let reads = AtomicU32::new(0);
    let running = start(move |read| match reads.fetch_add(1, Ordering::SeqCst) {
        0 => first(read),
        _ => with_date(check_signature(read), "unknown"),
    })
    .await;
    let first = call(&running, 1).await.map(drop);
    assert_eq!(call(&running, 2).await.map(drop), Ok(()), "a signature of the local time is valid");
    first
}

#[tokio::test]
async fn a_wrong_date_on_a_result_does_not_move_the_clock() {
    for offset in [HOUR, -HOUR] {
        let first = call_twice(move |read| with_date(read.succeed(), &http_date(now() + offset))).await;
        assert_eq!(first, Ok(()), "{offset} s");
    }
}

#[tokio::test]
async fn a_wrong_date_on_an_error_without_a_signature_problem_does_not_move_the_clock() {
    for (status, code, expected) in [
        (500, "InternalServerError", Ok(())),
        (400, "ThrottlingException", Ok(())),
        (400, "SessionNotFoundException", Err("SESSION_NOT_FOUND".to_owned())),
        (403, "ExpiredTokenException", Ok(())),
    ] {
        let first = call_twice(move |_| with_date(error(status, code), &http_date(now() + HOUR))).await;
        assert_eq!(first, expected, "{code}");
    }
}

#[tokio::test]
async fn a_date_that_is_malformed_or_far_away_does_not_move_the_clock() {
    for date in ["yesterday", "", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"] {
        let first = call_twice(move |_| with_date(error(400, "InvalidSignatureException"), date)).await;
        assert_eq!(first, Ok(()), "{date:?}: the credentials are reloaded, and the read is retried");
    }
}
