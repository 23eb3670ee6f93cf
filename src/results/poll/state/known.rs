//! What is known of the session of a poll, and how soon that makes it worth a read.

use crate::{
    proto::LivenessStatus,
    results::{polls::Start, priority::Priority, priority::ReReadPriority, session_result::SessionResult},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// The time between two looks at what other replicas know: of a session that may become final at
/// any moment; of one that is CREATED or was never read; of one without subscribers.
pub(super) const LOOK_PERIOD: Duration = Duration::from_millis(80);
const CREATED_LOOK_PERIOD: Duration = Duration::from_millis(250);
const IDLE_LOOK_PERIOD: Duration = Duration::from_secs(1);

/// What is known of the session.
pub(super) enum Known {
    Nothing,
    NotFound {
        read_at: Instant,
    },
    Pending(Arc<SessionResult>),
    /// The session was final before the poll. Only its images are read.
    Final(Arc<SessionResult>),
}

impl Known {
    pub(super) fn new(start: Start) -> Self {
        match start {
            Start::Unread => Self::Nothing,
            Start::NotFound(read_at) => Self::NotFound { read_at },
            Start::Unfinished(answer) => Self::Pending(answer.result),
            Start::Ended(answer) => Self::Final(answer.result),
        }
    }

    /// Returns when the status stops being current; None if none is known.
    pub(super) fn stale_at(&self, pending_ttl: Duration) -> Option<Instant> {
        match self {
            Self::Pending(outcome) | Self::Final(outcome) => Some(outcome.read_at + pending_ttl),
            Self::Nothing | Self::NotFound { .. } => None,
        }
    }

    /// Returns how urgent the next read is; None if the session was never read.
    pub(super) fn urgency(&self, started: Instant) -> Option<ReReadPriority> {
        match self {
            Self::Nothing => None,
            Self::NotFound { read_at } => Some(ReReadPriority::of_not_found(*read_at)),
            Self::Pending(outcome) => Some(outcome.re_read_priority()),
            Self::Final(outcome) => Some(ReReadPriority::of(outcome.message.status(), started)),
        }
    }

    /// Returns when the last known status was read, by the clock of the replica that read it.
    pub(super) fn read_time(&self) -> Option<SystemTime> {
        match self {
            Self::Pending(outcome) => Some(outcome.read_time),
            Self::Nothing | Self::NotFound { .. } | Self::Final(_) => None,
        }
    }

    /// Returns the time until the next look at what other replicas know.
    pub(super) fn look_period(&self, need: Priority) -> Duration {
        match self {
            _ if need == Priority::Capture => IDLE_LOOK_PERIOD,
            Self::Pending(outcome) if outcome.message.status() != LivenessStatus::Created => LOOK_PERIOD,
            _ => CREATED_LOOK_PERIOD,
        }
    }
}
