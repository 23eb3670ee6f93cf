//! The target `simulator`: requests of AWS's protocol and of the control interface.

use super::{
    block_on,
    text::{self, Message},
};
use crate::simulator::{Config, Simulator};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderValue, Method, Request, Uri},
};
use serde_json::Value;
use std::time::Duration;
use tower::ServiceExt;

/// The most requests of one input. Each response may contain five images.
const MAX_REQUESTS: usize = 8;

/// The largest response: a list of faults with the largest body, 2 MB, escaped.
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=k/20261101/eu-west-1/rekognition/aws4_request, SignedHeaders=host, Signature=0f";

/// The input is a list of requests, separated by lines of `===`. A request is `read`, `create` (a
/// valid call of that AWS operation) or a method and a path; then header lines that add to or replace
/// the usual ones; then an empty line and the body.
pub fn simulator(data: &[u8]) {
    block_on(async {
        let simulator = Simulator::new(Config { created_for: Duration::ZERO, ..Config::default() });
        let router = simulator.router();
        let (mut rest, mut is_faulty) = (data, false);
        for _ in 0..MAX_REQUESTS {
            let (one, others) = text::split(rest, b"\n===\n").unwrap_or((rest, b""));
            if let Some(request) = request(one) {
                // After a fault was scripted, the simulator may hang or send an invalid response.
                is_faulty |= request.method() == Method::POST && request.uri().path() == "/simulator/faults";
                exchange(&router, request, is_faulty).await;
            }
            rest = others;
        }
        assert!(simulator.reads() <= MAX_REQUESTS as u64);
    });
}

fn request(data: &[u8]) -> Option<Request<Body>> {
    let message = Message::read(data);
    let target = match message.first {
        "read" => Some("RekognitionService.GetFaceLivenessSessionResults"),
        "create" => Some("RekognitionService.CreateFaceLivenessSession"),
        _ => None,
    };
    let (method, path) = match target {
        Some(_) => (Method::POST, "/"),
        None => {
            let (method, path) = message.first.split_once(' ')?;
            (method.parse().ok()?, path)
        }
    };
    let mut headers = HeaderMap::new();
    if let Some(target) = target {
        headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert("x-amz-target", HeaderValue::from_static(target));
        headers.insert("authorization", HeaderValue::from_static(SIGNED));
    }
    let body = message.body();
    headers.extend(message.headers);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.parse::<Uri>().ok()?;
    *request.headers_mut() = headers;
    Some(request)
}

async fn exchange(router: &Router, request: Request<Body>, is_faulty: bool) {
    let (is_aws, has_body) = (request.uri().path() == "/", request.method() != Method::HEAD);
    let exchange = async {
        let response = router.clone().oneshot(request).await.expect("the router does not fail");
        let (head, body) = response.into_parts();
        (head, to_bytes(body, MAX_RESPONSE_BYTES).await)
    };
    let (head, body) = match tokio::time::timeout(Duration::from_secs(60), exchange).await {
        Ok((head, Ok(body))) => (head, body),
        Ok((_, Err(_))) | Err(_) if is_aws && is_faulty => return,
        _ => panic!("an incomplete response"),
    };
    assert!((200..=599).contains(&head.status.as_u16()));
    if is_aws && is_faulty {
        return;
    }
    assert!(!is_aws || head.headers.contains_key("x-amzn-requestid"));
    let kind = head.headers.get("content-type").map(HeaderValue::as_bytes).unwrap_or_default();
    if has_body && (kind.ends_with(b"json") || kind.ends_with(b"json-1.1")) {
        let result: Value = serde_json::from_slice(&body).expect("JSON as announced");
        assert!(result.is_object());
        if is_aws && head.status.is_success() {
            assert_result(&result);
        }
    }
}

/// Asserts that a response has a session id, and only the members that its status allows.
fn assert_result(result: &Value) {
    assert!(result["SessionId"].as_str().is_some_and(|id| crate::session::SessionId::parse(id).is_some()));
    let is_done = result["Status"] == "SUCCEEDED";
    for member in ["Confidence", "ReferenceImage", "AuditImages"] {
        assert!(is_done || result.get(member).is_none(), "{member} before SUCCEEDED");
    }
    assert!(result["Confidence"].as_f64().is_none_or(|score| (0.0..=100.0).contains(&score)));
}
