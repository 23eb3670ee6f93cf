//! What a session is, and what its status is at a moment of its life.
//!
//! Time comes in as an argument: nothing here reads a clock, holds a lock or knows of HTTP.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    challenge::{Challenge, ChallengeType},
    feedback::Feedback,
    portrait,
};

/// A Face Liveness session. Fill in what matters and take the rest from [`Session::new`]:
/// `Session { audit_images: 2, ..Session::new(id) }`.
#[derive(Clone, Debug)]
pub struct Session {
    /// 36 characters, a UUID in lower case; AWS's pattern is not checked here.
    pub id: String,
    /// What moves it on.
    pub pace: Pace,
    /// How it ends.
    pub outcome: Outcome,
    /// Audit images in the answer, 0..=4; more counts as 4.
    pub audit_images: u8,
    /// Where its images go.
    pub images: ImageStore,
    /// Simulated time as CREATED; `None` takes the simulator's.
    pub created_for: Option<Duration>,
    /// Simulated time as IN_PROGRESS; `None` takes the simulator's.
    pub in_progress_for: Option<Duration>,
    /// `None` leaves the member out, as AWS did before it had a choice of challenges.
    pub challenge: Option<Challenge>,
    /// Given with SUCCEEDED only, as an empty list too. AWS sends 10 at the most.
    pub feedback: Vec<Feedback>,
    /// `Metadata.SDKType`, 1 to 64 characters, given with SUCCEEDED and FAILED; `None` leaves
    /// `Metadata` out.
    pub sdk_type: Option<String>,
}

impl Session {
    /// A living session that will succeed with a confidence between 98 and 100, with inline images
    /// and no audit images, under the challenge that is AWS's default.
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

    /// The status after `age` of real time, or `None` when the session is gone.
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

/// What moves a session on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// The clock, from the moment it is created or placed.
    Living,
    /// The clock, from the moment it is first read.
    FromFirstRead,
    /// Nothing: it stands in that status for ever and is never gone.
    Frozen(Status),
}

/// How a session ends.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The analysis came to an end. That says nothing about a live face: the confidence does.
    Succeeded {
        /// 0 to 100; `None` leaves it out of the answer.
        confidence: Option<f32>,
    },
    /// The analysis broke off: no confidence and no images.
    Failed,
    /// The person took too long: no confidence and no images.
    Expired,
    /// Never: it stays IN_PROGRESS until it is gone.
    Pending,
    /// In a status that AWS has yet to invent.
    Other {
        /// Its name on the wire.
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

/// `Status` of an answer; in JSON its AWS name, or any other string.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Status {
    /// Nobody has opened the camera yet.
    Created,
    /// The video is streaming, or being analysed.
    InProgress,
    /// The analysis is done.
    Succeeded,
    /// The analysis broke off.
    Failed,
    /// The session was not used in time.
    Expired,
    /// For tests of what a client does with a status it does not know.
    Other(String),
}

impl Status {
    /// The name on the wire.
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

impl From<String> for Status {
    fn from(name: String) -> Self {
        match name.as_str() {
            "CREATED" => Self::Created,
            "IN_PROGRESS" => Self::InProgress,
            "SUCCEEDED" => Self::Succeeded,
            "FAILED" => Self::Failed,
            "EXPIRED" => Self::Expired,
            _ => Self::Other(name),
        }
    }
}

/// Where a session's images go. Only its creator can choose, by `OutputConfig`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ImageStore {
    /// Into the answer, as base64.
    Inline,
    /// Into a bucket, under `<prefix>/<session id>/`; the answer names the objects, and nothing is
    /// uploaded.
    S3 {
        /// 3 to 255 characters.
        bucket: String,
        /// Up to 950 characters; empty is none.
        #[serde(default)]
        prefix: String,
        /// Of each object, as a versioned bucket has it; 1 to 1,024 characters.
        version: Option<String>,
    },
    /// Nowhere: AWS promises images only when possible.
    None,
}

/// The simulator's times and how fast they pass.
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

    fn life(session: &Session, times: &Times, ages: &[u64]) -> Vec<Option<Status>> {
        ages.iter().map(|age| session.status_at(Duration::from_secs(*age), times)).collect()
    }

    #[test]
    fn a_session_is_created_then_in_progress_then_done_then_gone() {
        let session = Session::new("s");
        let expected = [Some(Status::Created), Some(Status::InProgress), Some(Status::Succeeded), None];
        assert_eq!(life(&session, &times(1.0), &[4, 5, 13, 180]), expected);
        assert_eq!(life(&session, &times(10.0), &[0, 1, 2, 18]), expected);
    }

    #[test]
    fn every_outcome_has_its_status_and_pending_has_none() {
        for (outcome, status) in [
            (Outcome::Failed, Status::Failed),
            (Outcome::Expired, Status::Expired),
            (Outcome::Pending, Status::InProgress),
            (Outcome::Other { status: "REVIEW".into() }, Status::Other("REVIEW".into())),
        ] {
            let session = Session { outcome, ..Session::new("s") };
            assert_eq!(life(&session, &times(1.0), &[179, 180]), [Some(status), None]);
        }
    }

    #[test]
    fn own_times_win_and_a_frozen_session_stays() {
        let at_once = Some(Duration::ZERO);
        let session = Session { created_for: at_once, in_progress_for: at_once, ..Session::new("s") };
        assert_eq!(life(&session, &times(1.0), &[0]), [Some(Status::Succeeded)]);
        let frozen = Session { pace: Pace::Frozen(Status::Created), ..Session::new("s") };
        assert_eq!(life(&frozen, &times(1.0), &[0, 1_000_000]), [Some(Status::Created), Some(Status::Created)]);
    }

    #[test]
    fn no_speed_is_too_odd_to_count() {
        for speed in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(life(&Session::new("s"), &times(speed), &[5]), [Some(Status::InProgress)]);
        }
        assert_eq!(life(&Session::new("s"), &times(f64::MAX), &[5]), [None]);
        assert_eq!(life(&Session::new("s"), &times(0.0), &[500]), [Some(Status::Created)]);
    }
}
