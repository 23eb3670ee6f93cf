//! The log lines of a call: one in the access log, as its setting says, and one for an error.
//!
//! A line names the session by its reference. It has no score, and says only whether the response
//! had images. The code is what the caller received: after a part of the images, it is not OK.

use super::{outcome::Outcome, response::Summary, valid_request::ValidRequest};
use crate::{client::Caller, config::AccessLog, results::ImageSet, session::SessionRefKey};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;
use tracing::{Level, field};

/// How many failed calls are logged per second. Of the others only their number is logged.
const FAILURES_PER_SECOND: u64 = 100;

pub struct Log {
    access: AccessLog,
    session_refs: Arc<SessionRefKey>,
    failures: LineBudget,
}

impl Log {
    pub fn new(access: AccessLog, session_refs: Arc<SessionRefKey>) -> Self {
        Self { access, session_refs, failures: LineBudget::default() }
    }

    /// Logs how a call ended. By default, only errors and responses with images are logged.
    pub fn log(&self, caller: &Caller, valid: Option<&ValidRequest>, started: Instant, outcome: &Outcome<'_>) {
        let (response, error) = (outcome.response(), outcome.error());
        let images = response.is_some_and(|response| response.has_images);
        let is_accessed = self.access == AccessLog::All || (self.access == AccessLog::Images && images);
        // Most calls are not logged, and need neither the hash nor the clock.
        if !is_accessed && error.is_none() && !tracing::enabled!(Level::DEBUG) {
            return;
        }
        let session = valid.map(|valid| self.session_refs.reference(valid.session_id));
        let session = session.as_ref().map(field::display);
        let millis = started.elapsed().as_micros() as f64 / 1e3;
        if is_accessed {
            let (code, reason) = (outcome.code_name(), error.map(|error| error.reason.name()));
            let view = valid.map(|valid| view(valid.images));
            let min_confidence = valid.and_then(|valid| valid.min_confidence);
            let source = response.map(|response| response.source.as_str_name());
            let status = response.map(Summary::status_name);
            let verdict = response.map(|response| response.verdict.as_str_name());
            tracing::info!(target: "access", client = %caller, session, view, min_confidence, source, status, verdict, images, code, reason, millis, "call");
        }
        match outcome {
            Outcome::Response(response) => {
                let (status, source) = (response.status_name(), response.source.as_str_name());
                tracing::debug!(session, status, source, millis, "call succeeded");
            }
            Outcome::Cancelled(_) => tracing::debug!(session, millis, "call cancelled during its response"),
            Outcome::Error(error, _) => {
                let Some(untold) = self.failures.take_line() else { return };
                let untold = (untold > 0).then_some(untold);
                let (aws_code, aws_request_id) = (error.aws_code.as_deref(), error.aws_request_id.as_deref());
                let (code, reason) = (error.code_name(), error.reason.name());
                tracing::warn!(code, reason, session, aws_code, aws_request_id, millis, untold, "call failed");
            }
        }
    }
}

const fn view(images: ImageSet) -> &'static str {
    match (images.reference, images.audit) {
        (false, false) => "BASIC",
        (true, false) => "REFERENCE",
        (_, true) => "FULL",
    }
}

/// At most [`FAILURES_PER_SECOND`] lines per second.
#[derive(Default)]
struct LineBudget {
    second: AtomicU64,
    lines: AtomicU64,
}

impl LineBudget {
    /// Takes one line from the budget, if there is one left, and returns how many lines were not
    /// logged before. With concurrent calls, a second may have a line more or less.
    fn take_line(&self) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let untold = match self.second.swap(now, Relaxed) == now {
            true => 0,
            false => self.lines.swap(0, Relaxed).saturating_sub(FAILURES_PER_SECOND),
        };
        (self.lines.fetch_add(1, Relaxed) < FAILURES_PER_SECOND).then_some(untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_of_failures_only_the_number_is_logged() {
        let budget = LineBudget::default();
        let logged = (0..1000).filter(|_| budget.take_line().is_some()).count() as u64;
        assert!((FAILURES_PER_SECOND..=2 * FAILURES_PER_SECOND).contains(&logged), "{logged}");
        budget.second.store(0, Relaxed);
        let untold = budget.take_line().expect("a new second");
        assert!((1..=1000 - FAILURES_PER_SECOND).contains(&untold), "{untold}");
    }
}
