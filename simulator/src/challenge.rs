//! The challenge of a session: which kind, and in which version.
//!
//! The same type is read from the control surface, in lower case, and written to AWS's answers, in
//! AWS's names. How one is chosen from a creator's preferences is the request's.

use serde::{Deserialize, Serialize};

/// The challenge that the person was set.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all(serialize = "PascalCase"), deny_unknown_fields)]
pub struct Challenge {
    /// `Type` at AWS.
    #[serde(rename(serialize = "Type", deserialize = "type"))]
    pub kind: ChallengeType,
    /// Three numbers with dots between, such as `1.0.0`.
    pub version: String,
}

impl Challenge {
    /// The challenge in the version that is current.
    pub fn of(kind: ChallengeType) -> Self {
        let version = match kind {
            ChallengeType::FaceMovementAndLightChallenge => "2.0.0",
            ChallengeType::FaceMovementChallenge => "1.0.0",
        };
        Self { kind, version: version.to_owned() }
    }
}

/// The challenges that AWS has; in JSON by the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum ChallengeType {
    /// The face moves, and the screen flashes colours. The default.
    FaceMovementAndLightChallenge,
    /// The face moves, with no flashes.
    FaceMovementChallenge,
}
