//! A session, and its status at a given age.
//!
//! Time is an argument: nothing here reads a clock, holds a lock or knows HTTP.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::{
    challenge::{Challenge, ChallengeType},
    feedback::Feedback,
    portrait,
};

/// A Face Liveness session. Set some fields, and take the others from [`Session::new`]:
/// `Session { audit_images: 2, ..Session::new(id) }`.
#[derive(Clone, Debug)]
pub struct Session {
    /// A lower-case UUID. AWS's pattern is not checked here.
    pub id: String,
    /// What advances its status.
    pub pace: Pace,
    /// Its final status.
    pub outcome: Outcome,
    /// Audit images in the response, 0..=4. More counts as 4.
    pub audit_images: u8,
    /// Where its images are stored.
    pub images: ImageStore,
    /// Simulated time as CREATED. `None` means the simulator's.
    pub created_for: Option<Duration>,
    /// Simulated time as IN_PROGRESS. `None` means the simulator's.
    pub in_progress_for: Option<Duration>,
    /// `None` omits the member, as AWS did before it offered a choice of challenges.
    pub challenge: Option<Challenge>,
    /// Present with SUCCEEDED only, also as an empty list. AWS sends at most 10.
    pub feedback: Vec<Feedback>,
    /// `Metadata.SDKType`, 1 to 64 characters, present with SUCCEEDED and FAILED. `None` omits
    /// `Metadata`.
    pub sdk_type: Option<String>,
}

impl Session {
    /// Creates a session that succeeds with a confidence between 98 and 100. It has an inline
    /// reference image, no audit images, and AWS's default challenge.
    pub fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        let confidence = 98.0 + fastrand::Rng::with_seed(portrait::hash(&id)).f32() * 2.0;
        Self {
            id,
            pace: Pace::Living,
            outcome: Outcome::Succeeded { confidence: Some(confidence) },
            audit_images: 0,
            images: ImageStore::Inline,
            created_for: None,
            in_progress_for: None,
            challenge: Some(Challenge::of(ChallengeType::FaceMovementAndLightChallenge)),
            feedback: Vec::new(),
            sdk_type: Some("simulator".to_owned()),
        }
    }

    /// Returns the status after `age` of real time, or `None` when the session has been deleted.
    pub(crate) fn status_at(&self, age: Duration, times: &Times) -> Option<Status> {
        if let Pace::Frozen(status) = &self.pace {
            return Some(status.clone());
        }
        let age = times.simulated(age);
        let created_for = self.created_for.unwrap_or(times.created_for);
        let done_after = created_for.saturating_add(self.in_progress_for.unwrap_or(times.in_progress_for));
        match age {
            _ if age >= times.gone_after => None,
            _ if age < created_for => Some(Status::Created),
            _ if age < done_after => Some(Status::InProgress),
            _ => Some(self.outcome.status()),
        }
    }
}

/// What advances the status of a session.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// The clock, from its creation.
    Living,
    /// The clock, from its first read.
    FromFirstRead,
    /// Nothing: it keeps this status, and is never deleted.
    Frozen(Status),
}

/// The final status of a session.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The analysis completed. The confidence decides whether the face is live.
    Succeeded {
        /// 0 to 100. `None` omits it.
        confidence: Option<f32>,
    },
    /// The analysis failed: no confidence and no images.
    Failed,
    /// The person took too long: no confidence and no images.
    Expired,
    /// None: it stays IN_PROGRESS until it is deleted.
    Pending,
    /// A status that AWS does not have yet.
    Other {
        /// The name on the wire.
        status: String,
    },
}

impl Outcome {
    fn status(&self) -> Status {
        match self {
            Self::Succeeded { .. } => Status::Succeeded,
            Self::Failed => Status::Failed,
            Self::Expired => Status::Expired,
            Self::Pending => Status::InProgress,
            Self::Other { status } => Status::Other(status.clone()),
        }
    }
}

/// The `Status` of a response. In JSON AWS's name, or `{"other": {"status": …}}` for another one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// The person has not opened the camera yet.
    Created,
    /// The video is streaming or being analyzed.
    InProgress,
    /// The analysis completed.
    Succeeded,
    /// The analysis failed.
    Failed,
    /// The session was not used in time.
    Expired,
    /// A status that clients do not know.
    #[serde(rename = "other", deserialize_with = "other_status")]
    Other(String),
}

impl Status {
    /// Returns the name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Created => "CREATED",
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Expired => "EXPIRED",
            Self::Other(name) => name,
        }
    }
}

/// Has the form of [`Outcome::Other`].
fn other_status<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Other {
        status: String,
    }
    Other::deserialize(value).map(|other| other.status)
}

/// Where the images of a session are stored. `OutputConfig` of its creation decides.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ImageStore {
    /// In the response, as base64.
    Inline,
    /// In a bucket, under `<prefix>/<session id>/`. The response names the objects. Nothing is
    /// uploaded.
    S3 {
        /// 3 to 255 characters.
        bucket: String,
        /// At most 950 characters, or empty.
        #[serde(default)]
        prefix: String,
        /// The version of each object in a versioned bucket, 1 to 1,024 characters.
        version: Option<String>,
    },
    /// Not at all: AWS guarantees no images.
    None,
}

/// The simulator's default times, and its speed.
pub(crate) struct Times {
    created_for: Duration,
    in_progress_for: Duration,
    gone_after: Duration,
    speed: f64,
}

impl Times {
    pub fn new(created_for: Duration, in_progress_for: Duration, gone_after: Duration, speed: f64) -> Self {
        let speed = if speed.is_finite() && speed >= 0.0 { speed } else { 1.0 };
        Self { created_for, in_progress_for, gone_after, speed }
    }

    fn simulated(&self, real: Duration) -> Duration {
        Duration::try_from_secs_f64(real.as_secs_f64() * self.speed).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(speed: f64) -> Times {
        let seconds = Duration::from_secs;
        Times::new(seconds(5), seconds(8), seconds(180), speed)
    }

    fn statuses(session: &Session, times: &Times, ages: &[u64]) -> Vec<Option<Status>> {
        ages.iter().map(|age| session.status_at(Duration::from_secs(*age), times)).collect()
    }

    #[test]
    fn a_session_is_created_then_in_progress_then_final_then_deleted() {
        let session = Session::new("s");
        let expected = [Some(Status::Created), Some(Status::InProgress), Some(Status::Succeeded), None];
        assert_eq!(statuses(&session, &times(1.0), &[4, 5, 13, 180]), expected);
        assert_eq!(statuses(&session, &times(10.0), &[0, 1, 2, 18]), expected);
    }

    #[test]
    fn every_outcome_has_its_final_status_and_pending_has_none() {
        for (outcome, status) in [
            (Outcome::Failed, Status::Failed),
            (Outcome::Expired, Status::Expired),
            (Outcome::Pending, Status::InProgress),
            (Outcome::Other { status: "REVIEW".into() }, Status::Other("REVIEW".into())),
        ] {
            let session = Session { outcome, ..Session::new("s") };
            assert_eq!(statuses(&session, &times(1.0), &[179, 180]), [Some(status), None]);
        }
    }

    #[test]
    fn times_of_a_session_override_defaults_and_a_frozen_one_stays() {
        let at_once = Some(Duration::ZERO);
        let session = Session { created_for: at_once, in_progress_for: at_once, ..Session::new("s") };
        assert_eq!(statuses(&session, &times(1.0), &[0]), [Some(Status::Succeeded)]);
        let frozen = Session { pace: Pace::Frozen(Status::Created), ..Session::new("s") };
        assert_eq!(statuses(&frozen, &times(1.0), &[0, 1_000_000]), [Some(Status::Created), Some(Status::Created)]);
    }

    #[test]
    fn an_invalid_speed_counts_as_one() {
        for speed in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(statuses(&Session::new("s"), &times(speed), &[5]), [Some(Status::InProgress)]);
        }
        assert_eq!(statuses(&Session::new("s"), &times(f64::MAX), &[5]), [None]);
        assert_eq!(statuses(&Session::new("s"), &times(0.0), &[500]), [Some(Status::Created)]);
    }
}
