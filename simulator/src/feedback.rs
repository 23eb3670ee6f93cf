//! The feedback of a session: conditions in the video that lowered the confidence.
//!
//! The control API reads these types in lower case. Responses have AWS's names.

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

/// A code of
/// <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_FeedbackItem.html>.
/// In JSON AWS's name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FeedbackCode {
    /// No face was in view for a part of the video.
    FaceNotVisible,
    /// Something covered the face.
    FaceObstructionDetected,
    /// The video was blurred or distorted.
    LowVideoQualityDetected,
    /// The face was not in the oval.
    FaceNotAligned,
    /// The eyes were closed.
    EyesClosedDetected,
    /// It was too dark.
    LowLightingDetected,
    /// It was too bright.
    HighLightingDetected,
    /// A code that AWS does not have yet.
    #[serde(untagged)]
    Other(String),
}
