//! The log lines of a call: one in the access log, as its setting says, and one for an error.
//!
//! A line names the session by its reference. It has no score, and says only whether the response
//! had images.

use super::{response::Response, valid_request::ValidRequest};
use crate::{client::Caller, config::AccessLog, error::Error, results::ImageSet, session::SessionRefKey};
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
    pub fn log(&self, caller: &Caller, valid: Option<&ValidRequest>, started: Instant, end: &Result<Response, Error>) {
        let images = end.as_ref().is_ok_and(Response::has_images);
        let is_accessed = self.access == AccessLog::All || (self.access == AccessLog::Images && images);
        // Most calls are not logged, and need neither the hash nor the clock.
        if !is_accessed && end.is_ok() && !tracing::enabled!(Level::DEBUG) {
            return;
        }
        let session = valid.map(|valid| self.session_refs.reference(valid.session_id));
        let session = session.as_ref().map(field::display);
        let millis = started.elapsed().as_micros() as f64 / 1e3;
        if is_accessed {
            let (code, reason) = match end {
                Ok(_) => ("OK", None),
                Err(error) => (error.code_name(), Some(error.reason.name())),
            };
            let view = valid.map(|valid| view(valid.images));
            let min_confidence = valid.and_then(|valid| valid.min_confidence);
            let source = end.as_ref().ok().map(Response::source_name);
            let status = end.as_ref().ok().map(Response::status_name);
            tracing::info!(target: "access", client = %caller, session, view, min_confidence, source, status, images, code, reason, millis, "call");
        }
        match end {
            Ok(response) => {
                let (status, source) = (response.status_name(), response.source_name());
                tracing::debug!(session, status, source, millis, "call succeeded");
            }
            Err(error) => {
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
