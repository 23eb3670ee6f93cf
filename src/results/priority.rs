//! The priority of a read in the queue of the rate limiter.
//!
//! The priority of a re-read is the time since the last read times a weight. An IN_PROGRESS session
//! is seconds from its final result: its user is in front of the camera. The user of a CREATED
//! session has not begun, and the check then takes seconds of movement and lights
//! (<https://docs.aws.amazon.com/rekognition/latest/dg/face-liveness-diagrams.html>, steps 3 to 6):
//! a read every few seconds still finds it IN_PROGRESS before it is final.
//!
//! At a full quota the weights divide the reads in proportion. No session starves, since the time
//! since its last read grows. `make bench-throttling` chose the weights: with a lower weight for
//! CREATED, too many IN_PROGRESS sessions are detected too late; a higher one takes reads from
//! sessions that are almost final.
//!
//! An id that AWS did not know rarely becomes valid, and any client can invent thousands. All of
//! them together get one permit of ten while others wait.

use crate::proto::LivenessStatus;
use tokio::time::Instant;

const IN_PROGRESS: f64 = 1.0;
const CREATED: f64 = 0.17;

/// The priority of a permit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Priority {
    /// The session was never read.
    FirstRead,
    /// The session has subscribers.
    ReRead(ReReadPriority),
    /// The session has no subscribers.
    Capture,
    /// AWS did not know the id at the last read.
    NotFound,
}

/// The priority of a re-read. It grows with time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReReadPriority {
    weight: f64,
    last_read: Instant,
}

impl ReReadPriority {
    pub fn of(status: LivenessStatus, last_read: Instant) -> Self {
        let weight = match status {
            LivenessStatus::Created => CREATED,
            // An unknown status may be any. A final session is read again for its images.
            _ => IN_PROGRESS,
        };
        Self { weight, last_read }
    }

    /// Returns the priority at this time, to be compared with others.
    pub fn at(self, now: Instant) -> f64 {
        self.weight * (now - self.last_read).as_secs_f64()
    }
}
