//! The feedback that may come with a success: what in the video spoke against the person.
//!
//! The same type is read from the control surface, in lower case, and written to AWS's answers, in
//! AWS's names. It never decides anything: a session's confidence is its own.

use serde::{Deserialize, Serialize};

/// A condition seen in the video that lowered the confidence.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all(serialize = "PascalCase"), deny_unknown_fields)]
pub struct Feedback {
    /// For programs.
    pub code: FeedbackCode,
    /// 1 to 512 characters, for people.
    pub message: String,
}

/// See <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_FeedbackItem.html>; in JSON
/// by AWS's names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FeedbackCode {
    /// No face was in view for a part of the video.
    FaceNotVisible,
    /// Something covered the face.
    FaceObstructionDetected,
    /// The video was blurred or broken.
    LowVideoQualityDetected,
    /// The face was not where the oval asked for it.
    FaceNotAligned,
    /// The eyes were closed.
    EyesClosedDetected,
    /// It was too dark.
    LowLightingDetected,
    /// It was too bright.
    HighLightingDetected,
    /// One that AWS has yet to invent.
    #[serde(untagged)]
    Other(String),
}
