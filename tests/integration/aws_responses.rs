//! The program and an AWS whose responses a test decides by the request: error codes, credentials,
//! and the time of a signature.

mod clock;
mod credentials;
mod errors;

use crate::{
    facade::{id, reason, request},
    program::{Running, serve},
};
use aws_sdk_rekognition::primitives::{DateTime, DateTimeFormat};
use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use face_liveness_facade::proto::GetLivenessResultResponse;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A read that reached AWS.
struct AwsRead {
    session_id: String,
    access_key_id: String,
    /// Seconds since the epoch.
    signed_at: i64,
}

impl AwsRead {
    fn new(headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name| headers[name].to_str().expect("a header is ASCII");
        let key = header("authorization").split_once("Credential=").expect("a signature names its key").1;
        // The format is 20261123T153117Z.
        let date = header("x-amz-date");
        let [day, time] = [&date[..8], &date[9..15]];
        let date = format!("{}-{}-{}T{}:{}:{}Z", &day[..4], &day[4..6], &day[6..], &time[..2], &time[2..4], &time[4..]);
        let body: serde_json::Value = serde_json::from_slice(body).expect("the request is JSON");
        Self {
            session_id: body["SessionId"].as_str().expect("a session id").to_owned(),
            access_key_id: key.split('/').next().unwrap_or_default().to_owned(),
            signed_at: DateTime::from_str(&date, DateTimeFormat::DateTime).expect("it is a date").secs(),
        }
    }

    /// Returns a response with the result of a live person.
    fn succeed(&self) -> Response {
        self.succeed_with("99.5")
    }

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
    let router = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
        let respond = Arc::clone(&respond);
        async move { respond(&AwsRead::new(&headers, &body)) }
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
