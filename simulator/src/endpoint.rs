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
    request, results_response,
    sessions::Creation,
    signature,
    state::State,
    truncated_body,
    wire::{self, ApiError, Operation, Reply},
};

/// Bytes of a request. The longest members of the model have 2,048 and 950 characters.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A longer id is invalid, and is not stored.
const MAX_ID_BYTES: usize = 64;

const REPEATED_TOKEN: &str = "a ClientRequestToken was repeated: the response has the id of the earlier session, \
                              whose outcome and age do not change; use a new token for a new session";

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
                let request = request::parse_creation(&call.body, Uuid::new_v4().to_string())?;
                let id = match state.sessions.create(request.session, request.token) {
                    Creation::New(id) => id,
                    Creation::Repeated(id) => {
                        tracing::warn!(session = shortened(&id), "{REPEATED_TOKEN}");
                        id
                    }
                    Creation::TooMany => return Err(ApiError::too_many_sessions()),
                };
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
        self.state.counts.complete(call.operation, call.session_id.as_deref(), outcome);
        let session = call.session_id.as_deref().map(shortened).unwrap_or_default();
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

/// Shortens a session id for the log, whose readers must not get a whole id. The first characters
/// alone would not do: ids that a person chooses often differ at their end.
fn shortened(id: &str) -> String {
    match (id.get(..8), id.get(32..36)) {
        (Some(first), Some(last)) => format!("{first}…{last}"),
        _ => id.chars().take(8).collect(),
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
mod tests;
