//! The control API under `/simulator/`, for tests in any language: faults, sessions with a fixed
//! id, request counts, and a reset.
//!
//! It speaks plain JSON, without signatures and without the AWS protocol. An invalid request gets
//! status 400 and a sentence.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{self, DefaultBodyLimit, Path},
    http::{HeaderMap, StatusCode, header::HOST},
    routing::{get, post, put},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    challenge::Challenge,
    fault::Fault,
    feedback::Feedback,
    session::{ImageStore, Outcome, Pace, Session},
    state::State,
    validate,
};

/// Bytes of a session's JSON. Real ones are far smaller, and each stored session may be that large.
const MAX_SESSION_BYTES: usize = 16 * 1024;

/// Bytes of a request. A raw fault can have a body as long as AWS's longest response, 1.4 MB.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// Outcomes, faults and this API, for people: the end of `simulate --help`, and `GET /simulator/`.
pub const HELP: &str = include_str!("help.txt");

/// The address in the examples of [`HELP`].
const HELP_ADDRESS: &str = "127.0.0.1:4580";

type BadRequest = (StatusCode, Json<Value>);

pub(crate) fn routes(state: Arc<State>) -> Router {
    Router::new()
        .route("/simulator", get(help))
        .route("/simulator/", get(help))
        .route("/simulator/faults", post(add_fault).get(list_faults).delete(clear_faults))
        .route("/simulator/sessions/{id}", put(place_session).layer(DefaultBodyLimit::max(MAX_SESSION_BYTES)))
        .route("/simulator/requests", get(count_requests))
        .route("/simulator/requests/{id}", get(count_reads))
        .route("/simulator/reset", post(reset))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(state)
}

/// Returns the help as text. Its examples have the address by which the client reached this server.
async fn help(headers: HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    HELP.replace(HELP_ADDRESS, host.unwrap_or(HELP_ADDRESS))
}

async fn add_fault(extract::State(state): extract::State<Arc<State>>, body: Bytes) -> Result<Json<Value>, BadRequest> {
    let fault: Fault = parse(&body)?;
    state.faults.add(fault).map_err(bad_request)?;
    list_faults(extract::State(state)).await
}

async fn list_faults(extract::State(state): extract::State<Arc<State>>) -> Result<Json<Value>, BadRequest> {
    Ok(Json(json!({"faults": state.faults.list()})))
}

async fn clear_faults(extract::State(state): extract::State<Arc<State>>) -> Result<Json<Value>, BadRequest> {
    Ok(Json(json!({"cleared": state.faults.clear()})))
}

async fn count_requests(extract::State(state): extract::State<Arc<State>>) -> Result<Json<Value>, BadRequest> {
    Ok(Json(json!(state.counts.report())))
}

async fn count_reads(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, BadRequest> {
    Ok(Json(json!(state.counts.reads(session_id(&id)?))))
}

async fn reset(extract::State(state): extract::State<Arc<State>>) -> Json<Value> {
    let (sessions, faults) = state.reset();
    Json(json!({"sessions": sessions, "faults": faults}))
}

async fn place_session(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, BadRequest> {
    let id = session_id(&id)?;
    let placement: Placement = if body.is_empty() { Placement::default() } else { parse(&body)? };
    state.sessions.place(placement.session(id)?);
    Ok(Json(json!({"session_id": id})))
}

fn session_id(id: &str) -> Result<&str, BadRequest> {
    let error = || bad_request("A session id must be a UUID of 36 characters in lower case.");
    validate::is_session_id(id).then_some(id).ok_or_else(error)
}

/// A session in JSON. An absent member has the value of [`Session::new`].
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Placement {
    pace: Option<Pace>,
    outcome: Option<Outcome>,
    audit_images: Option<u8>,
    images: Option<ImageStore>,
    created_for_ms: Option<u64>,
    in_progress_for_ms: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    challenge: Option<Option<Challenge>>,
    feedback: Option<Vec<Feedback>>,
    #[serde(default, deserialize_with = "present")]
    sdk_type: Option<Option<String>>,
}

impl Placement {
    fn session(self, id: &str) -> Result<Session, BadRequest> {
        if self.audit_images.is_some_and(|number| number > 4) {
            return Err(bad_request("audit_images must be a number from 0 to 4."));
        }
        if let Some(Outcome::Succeeded { confidence: Some(confidence) }) = self.outcome
            && !(0.0..=100.0).contains(&confidence)
        {
            return Err(bad_request("A confidence must be a number from 0 to 100."));
        }
        let default = Session::new(id);
        Ok(Session {
            pace: self.pace.unwrap_or(default.pace),
            outcome: self.outcome.unwrap_or(default.outcome),
            audit_images: self.audit_images.unwrap_or(default.audit_images),
            images: self.images.unwrap_or(default.images),
            created_for: self.created_for_ms.map(Duration::from_millis),
            in_progress_for: self.in_progress_for_ms.map(Duration::from_millis),
            challenge: self.challenge.unwrap_or(default.challenge),
            feedback: self.feedback.unwrap_or(default.feedback),
            sdk_type: self.sdk_type.unwrap_or(default.sdk_type),
            id: default.id,
        })
    }
}

/// Distinguishes null, which removes a member, from an absent member, which keeps the default.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, BadRequest> {
    serde_json::from_slice(body).map_err(|error| bad_request(&format!("The body cannot be read: {error}.")))
}

fn bad_request(sentence: &str) -> BadRequest {
    (StatusCode::BAD_REQUEST, Json(json!({"error": sentence})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChallengeType, Status};

    fn session(json: &Value) -> Result<Session, String> {
        let read = parse::<Placement>(json.to_string().as_bytes()).and_then(|placement| placement.session("id"));
        read.map_err(|(_, Json(error))| error.to_string())
    }

    #[test]
    fn a_session_is_placed_from_json() {
        let placed = session(&json!({
            "pace": {"frozen": {"other": {"status": "REVIEW"}}}, "outcome": {"succeeded": {"confidence": 12.5}}, "audit_images": 2,
            "images": {"s3": {"bucket": "b"}}, "created_for_ms": 1, "challenge": {"type": "FaceMovementChallenge",
            "version": "1.2.3"}, "feedback": [{"code": "NEW", "message": "m"}], "sdk_type": null,
        }))
        .unwrap();
        assert_eq!(placed.pace, Pace::Frozen(Status::Other("REVIEW".into())));
        assert_eq!(placed.outcome, Outcome::Succeeded { confidence: Some(12.5) });
        assert_eq!(placed.images, ImageStore::S3 { bucket: "b".into(), prefix: String::new(), version: None });
        assert_eq!(placed.created_for, Some(Duration::from_millis(1)));
        assert_eq!(placed.challenge.unwrap().kind, ChallengeType::FaceMovementChallenge);
        assert_eq!((placed.feedback.len(), placed.sdk_type), (1, None));
        let default = session(&json!({"outcome": {"succeeded": {}}})).unwrap();
        assert_eq!(default.outcome, Outcome::Succeeded { confidence: None });
        assert!(default.challenge.is_some() && default.sdk_type.is_some());
    }

    #[test]
    fn the_error_names_what_is_wrong_with_a_session() {
        for (json, expected) in [
            (json!({"audit_images": 5}), "0 to 4"),
            (json!({"outcome": {"succeeded": {"confidence": 101}}}), "0 to 100"),
            (json!({"outcome": "won"}), "unknown variant"),
            (json!({"pace": {"frozen": "SUCCEDED"}}), "unknown variant `SUCCEDED`, expected one of `CREATED`,"),
            (json!({"pace": {"frozen": "succeeded"}}), "`SUCCEEDED`, `FAILED`, `EXPIRED`, `other`"),
            (json!({"tempo": 1}), "unknown field"),
        ] {
            assert!(session(&json).unwrap_err().contains(expected));
        }
    }
    #[tokio::test]
    async fn the_help_has_the_address_of_the_client() {
        let headers = HeaderMap::from_iter([(HOST, "simulator:80".parse().unwrap())]);
        let page = help(headers).await;
        assert!(page.contains("http://simulator:80/simulator/faults") && !page.contains(HELP_ADDRESS), "{page}");
        assert_eq!(help(HeaderMap::new()).await, HELP);
    }

    #[test]
    fn the_help_has_every_path_outcome_status_and_fault() {
        for part in [
            "POST   /simulator/faults",
            "GET    /simulator/requests/<uuid>",
            "POST   /simulator/reset",
            "outcome-succeeded",
            "outcome-confidence-",
            "outcome-failed",
            "outcome-expired",
            "outcome-pending",
            "CREATED",
            "IN_PROGRESS",
            "SUCCEEDED",
            "FAILED",
            "EXPIRED",
            "\"error\"",
            "\"latency\"",
            "\"hang\"",
            "\"hang_body\"",
            "\"cut_body\"",
            "\"raw\"",
        ] {
            assert!(HELP.contains(part), "{part}");
        }
    }

    #[test]
    fn every_example_of_the_help_is_accepted() {
        let bodies = HELP
            .lines()
            .filter_map(|line| line.trim().strip_prefix("curl "))
            .map(|line| (line.contains("/faults"), line.split('\'').nth(1).expect("the body is quoted")));
        let mut examples = 0;
        for (is_fault, body) in bodies {
            let accepted = if is_fault {
                serde_json::from_str::<Fault>(body).map(drop)
            } else {
                serde_json::from_str::<Placement>(body).map(drop)
            };
            accepted.expect(body);
            examples += 1;
        }
        assert_eq!(examples, 2);
    }
}
