//! The control surface under `/simulator/`, for tests in any language: faults, placed sessions and
//! counts.
//!
//! What it takes and gives is plain JSON, with no signature and no AWS protocol. What is refused
//! gets a 400 and a sentence.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    routing::{get, post, put},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    Simulator,
    challenge::Challenge,
    fault::Fault,
    feedback::Feedback,
    session::{ImageStore, Outcome, Pace, Session},
    validate,
};

/// No session in good faith comes near, and each one kept may be that large.
const MOST_SESSION: usize = 16 * 1024;

/// Room for a raw fault with a body as long as AWS's longest answer, 1.4 MB.
const MOST_BODY: usize = 2 * 1024 * 1024;

type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

pub(crate) fn routes(simulator: Simulator) -> Router {
    Router::new()
        .route("/simulator", get(help))
        .route("/simulator/", get(help))
        .route("/simulator/faults", post(add_fault).get(list_faults).delete(clear_faults))
        .route("/simulator/sessions/{id}", put(place_session).layer(DefaultBodyLimit::max(MOST_SESSION)))
        .route("/simulator/requests", get(count_requests))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(simulator)
}

async fn help() -> Json<Value> {
    Json(json!({
        "POST /simulator/faults": {
            "adds a fault": {
                "operation": "create_face_liveness_session | get_face_liveness_session_results; left out: both",
                "session_id": "left out: any",
                "times": "left out: until cleared",
                "kind": [
                    {"error": {"code": "ThrottlingException", "status": 400, "message": "may be left out"}},
                    {"latency": {"ms": 1500}},
                    "hang",
                    "hang_body",
                    "cut_body",
                    {"raw": {"status": 503, "content_type": "text/html", "body": "<html>"}},
                ],
            },
        },
        "GET /simulator/faults": "lists those left",
        "DELETE /simulator/faults": "clears them",
        "PUT /simulator/sessions/{id}": {
            "places a session, every member may be left out": {
                "pace": ["living", "from_first_read", {"frozen": "IN_PROGRESS"}],
                "outcome": [
                    {"succeeded": {"confidence": 99.5}}, "failed", "expired", "pending",
                    {"other": {"status": "REVIEW"}},
                ],
                "audit_images": "0 to 4",
                "images": ["inline", {"s3": {"bucket": "b", "prefix": "p", "version": "v"}}, "none"],
                "created_for_ms": 5000,
                "in_progress_for_ms": 8000,
                "challenge": {"type": "FaceMovementChallenge", "version": "1.0.0"},
                "feedback": [{"code": "LOW_LIGHTING_DETECTED", "message": "More light, please."}],
                "sdk_type": "null leaves it out, and so with challenge",
            },
        },
        "GET /simulator/requests": "counts by operation and outcome",
        "ClientRequestToken of CreateFaceLivenessSession": [
            "outcome-succeeded-...", "outcome-failed-...", "outcome-expired-...", "outcome-pending-...",
            "outcome-confidence-<0 to 100>-...",
        ],
    }))
}

async fn add_fault(State(simulator): State<Simulator>, body: Bytes) -> Answer {
    let fault: Fault = parse(&body)?;
    simulator.state.faults.add(fault).map_err(refusal)?;
    list_faults(State(simulator)).await
}

async fn list_faults(State(simulator): State<Simulator>) -> Answer {
    Ok(Json(json!({"faults": simulator.state.faults.list()})))
}

async fn clear_faults(State(simulator): State<Simulator>) -> Answer {
    Ok(Json(json!({"cleared": simulator.state.faults.clear()})))
}

async fn count_requests(State(simulator): State<Simulator>) -> Answer {
    Ok(Json(json!(simulator.state.tally.report())))
}

async fn place_session(State(simulator): State<Simulator>, Path(id): Path<String>, body: Bytes) -> Answer {
    if !validate::is_session_id(&id) {
        return Err(refusal("A session id must be a UUID of 36 characters in lower case."));
    }
    let placement: Placement = if body.is_empty() { Placement::default() } else { parse(&body)? };
    simulator.place(placement.session(&id)?);
    Ok(Json(json!({"session_id": id})))
}

/// A session in JSON. What is left out is as in [`Session::new`].
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
    fn session(self, id: &str) -> Result<Session, (StatusCode, Json<Value>)> {
        if self.audit_images.is_some_and(|number| number > 4) {
            return Err(refusal("audit_images must be a number from 0 to 4."));
        }
        if let Some(Outcome::Succeeded { confidence: Some(confidence) }) = self.outcome
            && !(0.0..=100.0).contains(&confidence)
        {
            return Err(refusal("A confidence must be a number from 0 to 100."));
        }
        let usual = Session::new(id);
        Ok(Session {
            pace: self.pace.unwrap_or(usual.pace),
            outcome: self.outcome.unwrap_or(usual.outcome),
            audit_images: self.audit_images.unwrap_or(usual.audit_images),
            images: self.images.unwrap_or(usual.images),
            created_for: self.created_for_ms.map(Duration::from_millis),
            in_progress_for: self.in_progress_for_ms.map(Duration::from_millis),
            challenge: self.challenge.unwrap_or(usual.challenge),
            feedback: self.feedback.unwrap_or(usual.feedback),
            sdk_type: self.sdk_type.unwrap_or(usual.sdk_type),
            id: usual.id,
        })
    }
}

/// Tells null, which takes a member away, from a member left out, which keeps the usual one.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, (StatusCode, Json<Value>)> {
    serde_json::from_slice(body).map_err(|error| refusal(&format!("The body cannot be read: {error}.")))
}

fn refusal(sentence: &str) -> (StatusCode, Json<Value>) {
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
    fn a_session_can_be_placed_in_json() {
        let placed = session(&json!({
            "pace": {"frozen": "REVIEW"}, "outcome": {"succeeded": {"confidence": 12.5}}, "audit_images": 2,
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
        let usual = session(&json!({"outcome": {"succeeded": {}}})).unwrap();
        assert_eq!(usual.outcome, Outcome::Succeeded { confidence: None });
        assert!(usual.challenge.is_some() && usual.sdk_type.is_some());
    }

    #[test]
    fn a_wrong_session_is_told_what_is_wrong() {
        for (json, wrong) in [
            (json!({"audit_images": 5}), "0 to 4"),
            (json!({"outcome": {"succeeded": {"confidence": 101}}}), "0 to 100"),
            (json!({"outcome": "won"}), "unknown variant"),
            (json!({"tempo": 1}), "unknown field"),
        ] {
            assert!(session(&json).unwrap_err().contains(wrong));
        }
    }
}
