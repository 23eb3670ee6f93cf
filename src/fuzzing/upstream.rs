//! The target `upstream_response`: a response of AWS or of a proxy, parsed by the real SDK.

use super::{
    SESSION_ID, assert_valid, block_on,
    text::{self, Message},
};
use crate::{
    error::{Context, Error},
    proto,
    rekognition::Rekognition,
    session::SessionId,
    telemetry::spans,
};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{Response, StatusCode},
};
use std::{
    cell::OnceCell,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A client, and the response to its next read. It is reused: creating it takes longer than a read.
#[derive(Clone)]
struct Upstream {
    client: Rekognition,
    response: Arc<Mutex<Response<Body>>>,
}

/// The input is an HTTP response: the status, headers, an empty line, the body. With a header `cut`,
/// the connection breaks after the body.
pub fn upstream_response(data: &[u8]) {
    thread_local!(static UPSTREAM: OnceCell<Upstream> = const { OnceCell::new() });
    let upstream = UPSTREAM.with(|upstream| upstream.get_or_init(Upstream::new).clone());
    *upstream.response.lock().expect("nothing panics under this lock") = response(data);
    let id = SessionId::parse(SESSION_ID).expect("a valid id");
    match block_on(upstream.client.read(id, &spans::Caller::current())) {
        Ok(read) => assert_result(&read.result),
        Err(error) => assert_error(&error),
    }
}

impl Upstream {
    fn new() -> Self {
        let response = Arc::new(Mutex::new(Response::default()));
        let next = Arc::clone(&response);
        let router = Router::new().fallback(move || {
            let response = std::mem::take(&mut *next.lock().expect("nothing panics under this lock"));
            async move { response }
        });
        Self { client: Rekognition::with_router(router, Duration::from_secs(5)), response }
    }
}

fn response(data: &[u8]) -> Response<Body> {
    let message = Message::read(data);
    let status = message.first.trim().parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
    let body = if message.headers.contains_key("cut") {
        let cut = io::Error::other("the connection is gone");
        Body::from_stream(tokio_stream::iter([Ok(Bytes::copy_from_slice(message.body)), Err(cut)]))
    } else {
        message.body()
    };
    let mut response = Response::new(body);
    *response.status_mut() = status.unwrap_or_default();
    *response.headers_mut() = message.headers;
    response
}

fn assert_result(result: &proto::LivenessResult) {
    assert_eq!(result.session_id, SESSION_ID);
    assert!(result.confidence.is_none_or(|score| (0.0..=100.0).contains(&score)));
    let status = proto::LivenessStatus::try_from(result.status).expect("a status of the contract");
    if status == proto::LivenessStatus::Unspecified {
        assert!(text::is_sanitized(&result.unrecognized_status, "_."), "{:?}", result.unrecognized_status);
    } else {
        assert_eq!(result.unrecognized_status, "");
    }
    for image in result.reference_image.iter().chain(&result.audit_images) {
        if let Some(sides) = &image.bounding_box {
            assert!([sides.width, sides.height, sides.left, sides.top].iter().all(|side| side.is_finite()));
        }
    }
    assert!(!format!("{result:?}").contains(SESSION_ID));
}

fn assert_error(error: &Error) {
    assert!(error.aws_code.as_deref().is_none_or(|code| text::is_sanitized(code, "_.")), "{:?}", error.aws_code);
    assert!(error.aws_request_id.as_deref().is_none_or(|id| text::is_sanitized(id, "-")), "{:?}", error.aws_request_id);
    let context = Context { session_id: SESSION_ID, region: None, time_left: Duration::ZERO };
    let status = error.to_status(&context);
    assert_valid(&status);
    // The message is the table's, never AWS's.
    assert_eq!(status.message(), Error::new(error.reason).to_status(&context).message());
}
