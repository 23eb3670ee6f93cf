//! What is planted: image content, a score, the place of an image in S3, and session ids, each easy
//! to tell from all else.

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

/// What tells this face from others.
pub const FACE: &[u8; 12] = b"PLANTED-FACE";

/// The same few bytes again and again, so that any piece of it has them.
pub fn image() -> Vec<u8> {
    [*HEAD, *FACE].concat().repeat(100)
}

/// The first and the last group are nobody else's.
pub fn id(number: usize) -> String {
    assert!(number < 0x1000, "the last group has three digits to spare");
    format!("5eed1d00-face-4bad-8a57-0ddba11d0{number:03x}")
}

/// All of it, as AWS's sentence on an error might hold it.
pub fn words(id: &str) -> String {
    format!("{id} {CONFIDENCE} s3://{BUCKET}/{KEY}/{id}/reference.jpg {}", base64::encode(image()))
}

/// AWS's answer with all of it, in that status.
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
        "Challenge": {"Type": "FaceMovementChallenge", "Version": "1.0.0"},
        "Feedback": [{"Code": "LOW_LIGHTING_DETECTED", "Message": words(id)}],
        "Metadata": {"SDKType": "web"},
    });
    result.to_string()
}

/// A session that the simulator plays, with as much of it as a session can have.
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

/// A request for all that there is.
pub fn full(number: usize) -> GetLivenessResultRequest {
    GetLivenessResultRequest { session_id: id(number), view: ResultView::Full.into(), ..Default::default() }
}
