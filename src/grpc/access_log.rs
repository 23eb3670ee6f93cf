//! What is told of a request: one line for an answer, by the access log's setting, and one for a
//! refusal.
//!
//! The session is told by its reference, and of a score or a face nothing but whether one left.

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

/// Who sends nonsense may send much of it: so many refusals a second are told, and of the rest
/// their number.
const REFUSALS_PER_SECOND: u64 = 100;

pub struct Log {
    access: AccessLog,
    session_refs: Arc<SessionRefKey>,
    refusals: Budget,
}

impl Log {
    pub fn new(access: AccessLog, session_refs: Arc<SessionRefKey>) -> Self {
        Self { access, session_refs, refusals: Budget::default() }
    }

    /// Tells how a request ended. Hits are the common case and say nothing about the service: by
    /// default only errors, and faces that left it, are told.
    pub fn tell(&self, caller: &Caller, valid: Option<&ValidRequest>, started: Instant, end: &Result<Response, Error>) {
        let images = end.as_ref().is_ok_and(Response::has_images);
        let is_accessed = self.access == AccessLog::All || (self.access == AccessLog::Images && images);
        // Most answers are not told, and pay neither for a hash nor for a clock.
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
            tracing::info!(target: "access", client = %caller, session, view, min_confidence, source, status, images, code, reason, millis, "asked");
        }
        match end {
            Ok(response) => {
                let (status, source) = (response.status_name(), response.source_name());
                tracing::debug!(session, status, source, millis, "answered");
            }
            Err(error) => {
                let Some(untold) = self.refusals.spend() else { return };
                let untold = (untold > 0).then_some(untold);
                let (aws_code, aws_request_id) = (error.aws_code.as_deref(), error.aws_request_id.as_deref());
                let (code, reason) = (error.code_name(), error.reason.name());
                tracing::warn!(code, reason, session, aws_code, aws_request_id, millis, untold, "refused");
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

/// So many lines a second.
#[derive(Default)]
struct Budget {
    second: AtomicU64,
    spent: AtomicU64,
}

impl Budget {
    /// Whether a line may be told, and how many were not in the seconds before. Callers at the same
    /// moment may get a line more or less.
    fn spend(&self) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let untold = match self.second.swap(now, Relaxed) == now {
            true => 0,
            false => self.spent.swap(0, Relaxed).saturating_sub(REFUSALS_PER_SECOND),
        };
        (self.spent.fetch_add(1, Relaxed) < REFUSALS_PER_SECOND).then_some(untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_told_by_its_number() {
        let budget = Budget::default();
        let told = (0..1000).filter(|_| budget.spend().is_some()).count() as u64;
        assert!((REFUSALS_PER_SECOND..=2 * REFUSALS_PER_SECOND).contains(&told), "{told}");
        budget.second.store(0, Relaxed);
        let untold = budget.spend().expect("a new second");
        assert!((1..=1000 - REFUSALS_PER_SECOND).contains(&untold), "{untold}");
    }
}
