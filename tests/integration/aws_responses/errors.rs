//! Errors whose code is unknown or only in a header, and results that are slightly out of range.

use super::{call, error, start};
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

#[tokio::test]
async fn for_an_unknown_code_the_http_status_decides() {
    for (status, expected, reads) in [
        (500, "UPSTREAM_UNAVAILABLE", 3),
        (502, "UPSTREAM_UNAVAILABLE", 3),
        (503, "UPSTREAM_UNAVAILABLE", 3),
        (429, "UPSTREAM_THROTTLED", 3),
        (400, "UPSTREAM_UNKNOWN", 1),
    ] {
        assert_fails(move || error(status, "SomethingOfTomorrowException"), expected, reads).await;
    }
}

#[tokio::test]
async fn a_code_in_the_header_decides_without_a_json_body() {
    for (status, code, body, expected, reads) in [
        (400, "ThrottlingException:http://internal.amazon.com/coral/", "<h1>Slow down</h1>", "UPSTREAM_THROTTLED", 3),
        (400, "com.amazonaws.rekognition#ThrottlingException", "not JSON", "UPSTREAM_THROTTLED", 3),
        (400, "com.amazonaws#ThrottlingException:http://internal.amazon.com/#a", "{", "UPSTREAM_THROTTLED", 3),
        (500, "AccessDeniedException", "not JSON", "UPSTREAM_ACCESS_DENIED", 1),
        (503, "SomethingOfTomorrowException", "not JSON", "UPSTREAM_UNAVAILABLE", 3),
        (400, "", "not JSON", "UPSTREAM_UNKNOWN", 1),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        assert_fails(move || (status, [("x-amzn-errortype", code)], body).into_response(), expected, reads).await;
    }
}

/// Asserts what a caller gets from an AWS that always responds so, and after how many reads.
async fn assert_fails(respond: impl Fn() -> Response + Send + Sync + 'static, expected: &str, reads: usize) {
    let (count, mut sent) = tokio::sync::mpsc::unbounded_channel();
    let running = start(move |_| {
        count.send(()).expect("the test counts");
        respond()
    })
    .await;
    let reason = call(&running, 1).await.expect_err("AWS returns an error");
    let observed = std::iter::from_fn(|| sent.try_recv().ok()).count();
    assert_eq!((reason.as_str(), observed), (expected, reads));
}

#[tokio::test]
async fn a_confidence_within_a_thousandth_of_the_range_counts_as_its_end() {
    for (sent, expected) in [
        ("100.0000076", Ok(Some(100.0))),
        ("100.0009", Ok(Some(100.0))),
        ("-0.0000001", Ok(Some(0.0))),
        ("-0.0009", Ok(Some(0.0))),
        ("99.9999", Ok(Some(99.9999))),
        ("100.002", Err("UPSTREAM_MALFORMED".to_owned())),
        ("-0.002", Err("UPSTREAM_MALFORMED".to_owned())),
    ] {
        let running = start(move |read| read.succeed_with(sent)).await;
        let confidence = call(&running, 1).await.map(|response| response.result.expect("a result").confidence);
        assert_eq!(confidence, expected, "{sent}");
    }
}
