//! The planted personal data: image content, a score, the S3 key of an image, and session ids. Each
//! is unique, so that a search finds it.

use super::search::HEAD;
use aws_smithy_types::base64;
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, ResultView},
    simulator::{ImageStore, Outcome, Pace, Session},
};
use serde_json::json;

pub const CONFIDENCE: f32 = 87.65432;
pub const BUCKET: &str = "planted-bucket";
pub const KEY: &str = "planted-key";

/// The bytes that identify the planted image.
pub const FACE: &[u8; 12] = b"PLANTED-FACE";

/// Returns image content that repeats the same bytes, so that any part of it contains them.
pub fn image() -> Vec<u8> {
    [*HEAD, *FACE].concat().repeat(100)
}

/// Returns a session id whose first and last group are unique to the planted data.
pub fn id(number: usize) -> String {
    assert!(number < 0x1000, "the last group has three digits to spare");
    format!("5eed1d00-face-4bad-8a57-0ddba11d0{number:03x}")
}

/// Returns a text with all planted data, as the message of an AWS error might contain it.
pub fn words(id: &str) -> String {
    format!("{id} {CONFIDENCE} s3://{BUCKET}/{KEY}/{id}/reference.jpg {}", base64::encode(image()))
}

/// Returns a text as the user's device might report it: with an S3 key and the session id.
pub fn text(id: &str) -> String {
    format!("web {KEY} {id}")
}

/// Returns AWS's response with all planted data and this status. The texts that metrics count by
/// are planted too.
pub fn result(id: &str, status: &str) -> String {
    let bounding_box = json!({"Width": 0.5, "Height": 0.5, "Left": 0.25, "Top": 0.25});
    let inline = json!({"Bytes": base64::encode(image()), "BoundingBox": bounding_box});
    let key = format!("{KEY}/{id}/audit-1.jpg");
    let stored = json!({"S3Object": {"Bucket": BUCKET, "Name": key, "Version": "1"}, "BoundingBox": bounding_box});
    let result = json!({
        "SessionId": id,
        "Status": status,
        "Confidence": CONFIDENCE,
        "ReferenceImage": inline,
        "AuditImages": [inline, stored],
        "Challenge": {"Type": text(id), "Version": text(id)},
        "Feedback": [{"Code": text(id), "Message": words(id)}],
        "Metadata": {"SDKType": text(id)},
    });
    result.to_string()
}

/// Returns a simulated session with all planted data that a session can have.
pub fn session(number: usize, pace: Pace) -> Session {
    let s3 = ImageStore::S3 { bucket: BUCKET.into(), prefix: KEY.into(), version: None };
    Session {
        outcome: Outcome::Succeeded { confidence: Some(CONFIDENCE) },
        images: if number.is_multiple_of(2) { ImageStore::Inline } else { s3 },
        audit_images: 2,
        pace,
        ..Session::new(id(number))
    }
}

/// Returns a request for all data of a session.
pub fn full(number: usize) -> GetLivenessResultRequest {
    GetLivenessResultRequest { session_id: id(number), view: ResultView::Full.into(), ..Default::default() }
}
