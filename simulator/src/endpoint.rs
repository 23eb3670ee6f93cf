//! Handles a request of an AWS client.
//!
//! The order of checks is AWS's: protocol, operation, signature, quota, JSON, constraints, session.
//! A scripted fault applies right after the operation is known. Of a session, only eight characters
//! of its id are logged.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{self, Request},
    http::{
        HeaderMap, HeaderValue, Method, Response, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    routing::any,
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    fault::FaultKind,
    request, results_response, signature,
    state::State,
    truncated_body,
    wire::{self, ApiError, Operation, Reply},
};

/// Bytes of a request. The longest members of the model have 2,048 and 950 characters.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A longer id is invalid, and is not stored.
const MAX_ID_BYTES: usize = 64;

pub(crate) fn routes(state: Arc<State>, shutdown: Shutdown) -> Router {
    Router::new().route("/", any(receive)).fallback(not_the_protocol).with_state(Endpoint { state, shutdown })
}

/// The shutdown of the server, which ends scripted delays. None without a server.
#[derive(Clone)]
pub(crate) struct Shutdown(pub Option<watch::Receiver<bool>>);

impl Shutdown {
    pub async fn wait(self) {
        match self.0 {
            // An error means that the sender was dropped, and so the server has ended.
            Some(mut shutdown) => drop(shutdown.wait_for(|shutdown| *shutdown).await),
            None => std::future::pending().await,
        }
    }
}

#[derive(Clone)]
struct Endpoint {
    state: Arc<State>,
    shutdown: Shutdown,
}

struct Call {
    operation: Operation,
    headers: HeaderMap,
    body: Bytes,
    session_id: Option<String>,
}

async fn receive(extract::State(endpoint): extract::State<Endpoint>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    if head.method != Method::POST || !is_json(&head.headers) {
        return not_the_protocol().await;
    }
    let reject = |error: ApiError| {
        tracing::info!(operation = "none", outcome = %error.code, "request");
        let reply = Reply::from(error);
        wire::response(reply.status, reply.body)
    };
    let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let Some(operation) = target.and_then(Operation::from_target) else {
        return reject(ApiError::unknown_operation());
    };
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return reject(ApiError::too_large());
    };
    let session_id = session_id(&body);
    endpoint.respond(Call { operation, headers: head.headers, body, session_id }).await
}

async fn not_the_protocol() -> Response<Body> {
    tracing::info!(operation = "none", outcome = "not the protocol", "request");
    wire::not_the_protocol()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    ["application/x-amz-json-1.1", "application/json"].iter().any(|known| kind.eq_ignore_ascii_case(known))
}

/// Returns the session id of a request that may be invalid, for faults, counts and the log.
fn session_id(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("SessionId")?.as_str().filter(|id| id.len() <= MAX_ID_BYTES).map(str::to_owned)
}

impl Endpoint {
    async fn respond(&self, call: Call) -> Response<Body> {
        let state = &self.state;
        state.counts.receive(call.operation, call.session_id.as_deref());
        let fault = state.faults.take(call.operation, call.session_id.as_deref());
        self.pause(state.latency).await;
        let Some(fault) = fault else {
            let reply = self.reply(&call, true);
            self.record(&call, &reply.outcome);
            return wire::response(reply.status, reply.body);
        };
        // Recorded first, because the caller of a faulted request can cancel at any moment.
        self.record(&call, fault.name());
        self.fail(&call, fault).await
    }

    async fn fail(&self, call: &Call, fault: FaultKind) -> Response<Body> {
        match fault {
            FaultKind::Error { code, status, message } => {
                let reply = Reply::from(ApiError::new(code, valid(status), message));
                wire::response(reply.status, reply.body)
            }
            FaultKind::Latency { ms } => {
                self.pause(Duration::from_millis(ms)).await;
                let reply = self.reply(call, false);
                wire::response(reply.status, reply.body)
            }
            FaultKind::Hang => {
                self.shutdown.clone().wait().await;
                wire::response(StatusCode::SERVICE_UNAVAILABLE, Body::empty())
            }
            FaultKind::HangBody => truncate(&self.reply(call, false), self.shutdown.clone().wait()),
            FaultKind::CutBody => truncate(&self.reply(call, false), async {}),
            FaultKind::Raw { status, content_type, body } => {
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = valid(status);
                if let Some(kind) = content_type.and_then(|kind| HeaderValue::try_from(kind).ok()) {
                    response.headers_mut().insert(CONTENT_TYPE, kind);
                }
                response
            }
        }
    }

    fn reply(&self, call: &Call, metered: bool) -> Reply {
        self.process(call, metered).unwrap_or_else(Reply::from)
    }

    fn process(&self, call: &Call, metered: bool) -> Result<Reply, ApiError> {
        let state = &self.state;
        signature::check(&call.headers)?;
        if metered && !state.quota.take(call.operation) {
            return Err(ApiError::throttled());
        }
        let (outcome, body) = match call.operation {
            Operation::CreateFaceLivenessSession => {
                let creation = request::parse_creation(&call.body, Uuid::new_v4().to_string())?;
                let id = state.sessions.create(creation.session, creation.token);
                let id = id.ok_or_else(ApiError::too_many_sessions)?;
                ("CREATED".to_owned(), json!({"SessionId": id}).to_string().into())
            }
            Operation::GetFaceLivenessSessionResults => {
                let id = request::parse_read(&call.body)?;
                let (session, status) = state.sessions.read(&id).ok_or_else(ApiError::session_not_found)?;
                (status.as_str().to_owned(), results_response::body(&session, &status))
            }
        };
        Ok(Reply { status: StatusCode::OK, body, outcome })
    }

    fn record(&self, call: &Call, outcome: &str) {
        self.state.counts.complete(call.operation, outcome);
        let session: String = call.session_id.iter().flat_map(|id| id.chars()).take(8).collect();
        tracing::info!(operation = call.operation.name(), outcome, session, "request");
    }

    /// Sleeps, or returns early at a shutdown, so that a long latency does not delay it.
    async fn pause(&self, time: Duration) {
        if !time.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = self.shutdown.clone().wait() => {}
            }
        }
    }
}

fn truncate(reply: &Reply, until: impl Future<Output = ()> + Send + 'static) -> Response<Body> {
    let mut response = wire::response(reply.status, truncated_body::body(&reply.body, until));
    response.headers_mut().insert(CONTENT_LENGTH, reply.body.len().into());
    response
}

/// Converts the status of a fault, which was validated when the fault was added.
fn valid(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use axum::http::header::AUTHORIZATION;
    use tokio::time::Instant;

    use super::*;
    use crate::{Config, Fault, Pace, Session, Simulator, Status};

    const ID: &str = "0123abcd-0000-4000-8000-0123456789ab";
    const SIGNED: &str =
        "AWS4-HMAC-SHA256 Credential=k/20261101/eu-west-1/rekognition/aws4_request, SignedHeaders=host, Signature=0f";

    fn endpoint(config: Config) -> (Endpoint, Simulator, watch::Sender<bool>) {
        let (sender, receiver) = watch::channel(false);
        let simulator = Simulator::new(config);
        simulator.place(Session { pace: Pace::Frozen(Status::Created), ..Session::new(ID) });
        let state = Arc::clone(&simulator.state);
        (Endpoint { state, shutdown: Shutdown(Some(receiver)) }, simulator, sender)
    }

    fn read(id: &str) -> Request {
        Request::post("/")
            .header(CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", "RekognitionService.GetFaceLivenessSessionResults")
            .header(AUTHORIZATION, SIGNED)
            .body(json!({"SessionId": id}).to_string().into())
            .unwrap()
    }

    /// Returns the HTTP status, and the error code or the status of the session.
    async fn send(endpoint: &Endpoint, request: Request) -> (u16, String) {
        let response = receive(extract::State(endpoint.clone()), request).await;
        assert!(response.headers().contains_key("x-amzn-requestid"));
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let outcome = [&body["__type"], &body["Status"]].into_iter().find_map(Value::as_str);
        (status, outcome.unwrap_or_default().to_owned())
    }

    #[tokio::test]
    async fn every_check_rejects_with_its_error() {
        let (endpoint, simulator, _shutdown) = endpoint(Config::default());
        let change = |change: fn(&mut Request)| {
            let mut request = read(ID);
            change(&mut request);
            request
        };
        for (request, expected) in [
            (read(ID), (200, "CREATED")),
            (change(|request| *request.method_mut() = Method::GET), (404, "")),
            (change(|request| drop(request.headers_mut().remove(CONTENT_TYPE))), (404, "")),
            (change(|request| drop(request.headers_mut().remove("x-amz-target"))), (400, "UnknownOperationException")),
            (
                change(|request| *request.body_mut() = vec![b' '; 70_000].into()),
                (413, "RequestEntityTooLargeException"),
            ),
            (
                change(|request| drop(request.headers_mut().remove(AUTHORIZATION))),
                (400, "MissingAuthenticationTokenException"),
            ),
            (change(|request| *request.body_mut() = "{".into()), (400, "SerializationException")),
            (read("no id"), (400, "ValidationException")),
            (read(&ID.replace('b', "c")), (400, "SessionNotFoundException")),
        ] {
            assert_eq!(send(&endpoint, request).await, (expected.0, expected.1.to_owned()));
        }
        assert_eq!((simulator.reads(), simulator.reads_of(ID)), (5, 2));
    }

    #[tokio::test]
    async fn a_faulted_request_is_counted_and_does_not_use_the_quota() {
        let (endpoint, simulator, _shutdown) = endpoint(Config { quota_tps: 1, ..Config::default() });
        let error = FaultKind::Error { code: "AccessDeniedException".into(), status: 403, message: None };
        simulator.script(Fault { times: Some(1), ..Fault::new(error) });
        assert_eq!(send(&endpoint, read(ID)).await, (403, "AccessDeniedException".to_owned()));
        assert_eq!(send(&endpoint, read(ID)).await.0, 200);
        assert_eq!(send(&endpoint, read(ID)).await, (400, "ThrottlingException".to_owned()));
        assert_eq!((simulator.reads(), simulator.throttled()), (3, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn latencies_add_up_and_a_shutdown_ends_them() {
        let (endpoint, simulator, shutdown) =
            endpoint(Config { latency: Duration::from_millis(20), ..Config::default() });
        simulator.script(Fault::new(FaultKind::Latency { ms: 500 }));
        let began = Instant::now();
        assert_eq!(send(&endpoint, read(ID)).await.1, "CREATED");
        assert_eq!(began.elapsed().as_millis() / 10, 52);
        simulator.clear_faults();
        simulator.script(Fault::new(FaultKind::Hang));
        let (response, ()) = tokio::join!(receive(extract::State(endpoint.clone()), read(ID)), async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            shutdown.send_replace(true);
        });
        assert_eq!((response.status().as_u16(), began.elapsed().as_secs()), (503, 60));
    }

    #[tokio::test]
    async fn a_cut_body_is_shorter_than_its_content_length() {
        let (endpoint, simulator, _shutdown) = endpoint(Config::default());
        simulator.script(Fault::new(FaultKind::CutBody));
        let response = receive(extract::State(endpoint), read(ID)).await;
        assert!(response.headers()[CONTENT_LENGTH].to_str().unwrap().parse::<usize>().unwrap() > 50);
        assert!(to_bytes(response.into_body(), usize::MAX).await.is_err());
    }

    #[tokio::test]
    async fn a_raw_fault_does_not_look_like_aws() {
        let (endpoint, simulator, _shutdown) = endpoint(Config::default());
        let raw = FaultKind::Raw { status: 429, content_type: Some("text/html".into()), body: "busy".into() };
        simulator.script(Fault::new(raw));
        let response = receive(extract::State(endpoint), read(ID)).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()[CONTENT_TYPE]),
            (429, &"text/html".parse().unwrap())
        );
        assert!(!response.headers().contains_key("x-amzn-requestid"));
    }
}
