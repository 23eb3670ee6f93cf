//! Handles the result or the failure of a read.

use super::{Action, LastRead, LastResponse, ReadResult, State, schedule::CAPTURE_PERIOD};
use crate::{
    error::{Error, Reason},
    results::{
        coordinator::Release,
        poll::subscription::{ReadFailure, Recipients},
        session_result::SessionResult,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The reads in a row that fail before subscribers get the error. A third read gets past most short
/// failures; more would spend a quota of 5 or 25 per second on failures that last.
const ATTEMPTS: u32 = 3;

/// The longest backoff before the second attempt; it doubles before the third.
const BACKOFF: Duration = Duration::from_millis(200);

/// The longest backoff between reads, before jitter: subscribers learn this late that AWS is
/// available again.
const MAX_BACKOFF: Duration = Duration::from_secs(4);

impl State {
    pub(super) fn on_read(&mut self, read: ReadResult, now: Instant) {
        if let LastRead::Final(first) = &self.last_read {
            let first = Arc::clone(first);
            return self.end(LastResponse::Images(first, read));
        }
        if read.result.is_final() {
            return self.end(LastResponse::Final(read));
        }
        let result = Arc::new(read.result);
        self.release(Release::Pending(Arc::clone(&result)));
        self.set_pending(result);
        self.schedule(now);
    }

    pub(super) fn set_pending(&mut self, result: Arc<SessionResult>) {
        self.last_read = LastRead::Pending(Arc::clone(&result));
        self.not_before = result.read_at + self.settings.pending_ttl;
        (self.attempts, self.failures) = (0, 0);
        self.actions.push(Action::PublishPending(result));
    }

    pub(super) fn on_failure(&mut self, error: Error, now: Instant) {
        if error.reason == Reason::SessionNotFound {
            self.release(Release::NotFound);
            return self.end(LastResponse::NotFound(error));
        }
        if error.reason == Reason::UpstreamThrottled && self.settings.is_limited {
            self.on_throttled(error, now);
        } else if error.is_transient() {
            self.on_transient_failure(error, now);
        } else if error.is_corrected && self.attempts == 0 {
            // The next read is signed with AWS's time or with reloaded credentials. If published
            // and cached, this error would cost callers the seconds that credentials take.
            self.attempts += 1;
            self.not_before = now;
        } else {
            self.actions.push(Action::CacheError(error.clone(), error.retry_delay().unwrap_or_default()));
            if !self.is_captured() {
                return self.end(LastResponse::Error(error));
            }
            // The result is still captured once the operator has fixed the cause.
            self.attempts = 0;
            self.not_before = now + CAPTURE_PERIOD;
            self.publish_failure(error, Recipients::All, now);
        }
        self.release(Release::Nothing);
        self.schedule(now);
    }

    /// The rate limiter slows down all reads, so the next attempt needs no delay of its own.
    fn on_throttled(&mut self, error: Error, now: Instant) {
        self.actions.push(Action::ReportThrottled);
        // A capture backs off: it would keep the rate low for callers.
        if !self.is_subscribed {
            self.not_before = now + CAPTURE_PERIOD;
        }
        self.publish_failure(error, Recipients::None, now);
    }

    /// Retries twice soon, then publishes and caches the error and backs off exponentially.
    fn on_transient_failure(&mut self, error: Error, now: Instant) {
        if !self.is_subscribed {
            self.not_before = now + CAPTURE_PERIOD;
            return;
        }
        self.attempts += 1;
        if self.attempts < ATTEMPTS {
            self.not_before = now + (BACKOFF * self.attempts).mul_f64(self.rng.f64());
            return;
        }
        let delay = error.retry_delay().unwrap_or(BACKOFF);
        let jitter = 1.0 + self.rng.f64() / 2.0;
        let backoff = (delay * (1 << self.failures.min(5))).min(MAX_BACKOFF).mul_f64(jitter);
        self.not_before = now + backoff;
        (self.attempts, self.failures) = (0, self.failures + 1);
        // Retries of callers arrive when the next read is due.
        let error = error.retried_after(backoff);
        self.actions.push(Action::CacheError(error.clone(), backoff));
        self.publish_failure(error, Recipients::WithoutWait, now);
    }

    pub(super) fn publish_failure(&mut self, error: Error, recipients: Recipients, now: Instant) {
        self.actions.push(Action::PublishFailure(ReadFailure { error, at: now, recipients }));
    }
}
