//! The program and an AWS whose responses a test decides by the request: error codes.

mod errors;

use crate::{
    facade::{id, reason, request},
    program::{Running, serve},
};
use axum::{
    Router,
    body::Bytes,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use face_liveness_facade::proto::GetLivenessResultResponse;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A read that reached AWS.
struct AwsRead {
    session_id: String,
}

impl AwsRead {
    fn new(body: &[u8]) -> Self {
        let body: serde_json::Value = serde_json::from_slice(body).expect("the request is JSON");
        Self { session_id: body["SessionId"].as_str().expect("a session id").to_owned() }
    }

    /// Returns a response with a result of this confidence.
    fn succeed_with(&self, confidence: &str) -> Response {
        let id = &self.session_id;
        format!(r#"{{"SessionId":"{id}","Status":"SUCCEEDED","Confidence":{confidence}}}"#).into_response()
    }
}

/// Returns a response with this error code.
fn error(status: u16, code: &str) -> Response {
    (StatusCode::from_u16(status).expect("a status"), format!(r#"{{"__type":"{code}"}}"#)).into_response()
}

/// Starts an AWS, and returns its endpoint.
async fn aws(respond: impl Fn(&AwsRead) -> Response + Send + Sync + 'static) -> String {
    let respond = Arc::new(respond);
    let router = Router::new().fallback(move |body: Bytes| {
        let respond = Arc::clone(&respond);
        async move { respond(&AwsRead::new(&body)) }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    endpoint
}

/// Starts the program with static keys, for this AWS.
async fn start(respond: impl Fn(&AwsRead) -> Response + Send + Sync + 'static) -> Running {
    let endpoint = aws(respond).await;
    serve(&["--quota-tps", "0"], &crate::program::aws(&endpoint))
}

/// Calls for a session, and returns the response or the reason of the error.
async fn call(running: &Running, number: u32) -> Result<GetLivenessResultResponse, String> {
    let called = running.client().await.get_liveness_result(request(&id(number))).await;
    called.map(|response| response.into_inner()).map_err(|status| reason(&status))
}
