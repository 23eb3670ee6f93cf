//! What is known of a session from its last read, and how soon it should be read again.

use crate::{
    proto::LivenessStatus,
    results::{
        priority::{Priority, ReReadPriority},
        session_result::{SessionResponse, SessionResult},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The time between two lookups of what other replicas know: of a session that may become final at
/// any moment; of one that is CREATED or was never read; of one without subscribers.
pub const LOOK_PERIOD: Duration = Duration::from_millis(80);
const CREATED_LOOK_PERIOD: Duration = Duration::from_millis(250);
const IDLE_LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The result of the last read of a session, by any replica.
pub enum LastRead {
    Never,
    NotFound,
    Pending(Arc<SessionResult>),
    /// The session was final before the poll. Only its images are read.
    Final(Arc<SessionResult>),
}

impl LastRead {
    /// Returns the response with the pending status.
    pub fn pending_response(&self) -> Option<SessionResponse> {
        let Self::Pending(result) = self else { return None };
        Some(SessionResponse { result: Arc::clone(result), images: None })
    }

    /// Returns the priority of the next read. `started` is when the poll started.
    pub fn priority(&self, started: Instant) -> Priority {
        match self {
            Self::Never => Priority::FirstRead,
            Self::NotFound => Priority::NotFound,
            Self::Pending(result) => Priority::ReRead(ReReadPriority::of(result.message.status(), result.read_at)),
            Self::Final(result) => Priority::ReRead(ReReadPriority::of(result.message.status(), started)),
        }
    }

    /// Returns the time until the next lookup of what other replicas know.
    pub fn look_period(&self, priority: Priority) -> Duration {
        match self {
            _ if priority == Priority::Capture => IDLE_LOOK_PERIOD,
            Self::Pending(result) if result.message.status() != LivenessStatus::Created => LOOK_PERIOD,
            _ => CREATED_LOOK_PERIOD,
        }
    }
}
