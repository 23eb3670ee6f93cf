//! How soon a session is worth another read.
//!
//! ReReadPriority is the time since the last read, weighed by how soon the session can end. An IN_PROGRESS
//! session is seconds from its end: its person is in front of the camera. A CREATED one is not: its
//! person has not begun, and the check then takes seconds of movement and lights
//! (<https://docs.aws.amazon.com/rekognition/latest/dg/face-liveness-diagrams.html>, steps 3 to 6),
//! so a read every few seconds still finds it in progress before it ends. An id that AWS did not
//! know is hardly ever one that it will know, and free to invent.
//!
//! Under a full quota the reads are shared in proportion to the weights; since the time since the
//! last read grows for all, nothing starves. The weights were chosen by `make bench-throttling`: a
//! lighter CREATED finds too many sessions in progress too late, a heavier one takes the reads from
//! those that are about to end.

use crate::proto::LivenessStatus;
use tokio::time::Instant;

const IN_PROGRESS: f64 = 1.0;
const CREATED: f64 = 0.17;
const NOT_FOUND: f64 = 0.02;

/// The urgency of one session, which grows with time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReReadPriority {
    weight: f64,
    last_read: Instant,
}

impl ReReadPriority {
    /// Of a session that was in this state.
    pub fn of(status: LivenessStatus, last_read: Instant) -> Self {
        let weight = match status {
            LivenessStatus::Created => CREATED,
            // A status that nobody knows may be anything, and one that has ended is read again for
            // somebody who wants its images.
            _ => IN_PROGRESS,
        };
        Self { weight, last_read }
    }

    /// Of an id that AWS did not know.
    pub const fn of_not_found(last_read: Instant) -> Self {
        Self { weight: NOT_FOUND, last_read }
    }

    /// When the session was last read.
    pub const fn last_read(self) -> Instant {
        self.last_read
    }

    /// How urgent it is now; to be compared, not to be read.
    pub fn at(self, now: Instant) -> f64 {
        self.weight * (now - self.last_read).as_secs_f64()
    }
}

/// The priority of a permit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Priority {
    /// The session was never read.
    FirstRead,
    /// The session has subscribers.
    ReRead(ReReadPriority),
    /// The session has no subscribers.
    Capture,
}
