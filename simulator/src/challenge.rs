//! The challenge of a session: its type and version.
//!
//! The control API reads these types in lower case. Responses have AWS's names.

use serde::{Deserialize, Serialize};

/// A challenge in a version.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all(serialize = "PascalCase"), deny_unknown_fields)]
pub struct Challenge {
    /// AWS's `Type`.
    #[serde(rename(serialize = "Type", deserialize = "type"))]
    pub kind: ChallengeType,
    /// Three numbers with dots between, such as `1.0.0`.
    pub version: String,
}

impl Challenge {
    /// Returns the challenge in its current version.
    pub fn of(kind: ChallengeType) -> Self {
        let version = match kind {
            ChallengeType::FaceMovementAndLightChallenge => "2.0.0",
            ChallengeType::FaceMovementChallenge => "1.0.0",
        };
        Self { kind, version: version.to_owned() }
    }
}

/// A challenge of AWS. In JSON the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum ChallengeType {
    /// The face moves, and the screen flashes colors. The default.
    FaceMovementAndLightChallenge,
    /// The face moves, with no flashes.
    FaceMovementChallenge,
}
