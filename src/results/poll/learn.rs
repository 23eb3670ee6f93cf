//! What a poll makes of a read: the end, a newer state, or a trouble and how long to stay away.

use super::{CAPTURE_PERIOD, Poll};
use crate::{
    error::{Error, Reason},
    rekognition::Read,
    results::{
        Answer, Images,
        cache::Kept,
        limiter::Permit,
        outcome::Outcome,
        polls::{Failure, Says},
        shared_cache::SharedCache,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// At most so many HTTP attempts make one read. A third one turns most short troubles into an answer; more would spend a quota of
/// 5 or 25 a second on a trouble that lasts.
const ATTEMPTS: u32 = 3;

/// The longest pause before the second attempt; it doubles before the third.
const BACKOFF: Duration = Duration::from_millis(200);

/// The longest pause between the reads of a poll whose every read fails: callers come to know so late that AWS answers again.
const MAX_PAUSE: Duration = Duration::from_secs(4);

impl Poll {
    /// Takes in what a read said. Answers how the poll ends, when it does.
    pub(super) async fn learn(
        &mut self,
        read: Result<Read, Error>,
        permit: Option<Permit>,
    ) -> Option<Result<Answer, Error>> {
        let now = Instant::now();
        match read {
            Ok(Read { result, aws_request_id }) => {
                let (outcome, images) = Outcome::split(result);
                if let Some(first) = &self.ended {
                    let kept = self.polls.cache.keep_images(self.id, Arc::clone(first), &outcome, Some(images)).await;
                    return Some(Ok(self.settle_images(kept, aws_request_id.as_deref()).await));
                }
                if outcome.is_terminal() {
                    let kept = self.keep(outcome, images).await;
                    let answer = self.settle(kept, aws_request_id.as_deref());
                    let session = self.polls.session_refs.reference(self.id);
                    let status = answer.outcome.result.status().as_str_name();
                    let millis = (now - self.started).as_millis();
                    tracing::info!(%session, status, aws_request_id, polled_for_millis = millis as u64, "session ended");
                    return Some(Ok(answer));
                }
                (self.attempts, self.failures) = (0, 0);
                self.capture = self.polls.settings.capture;
                self.not_before = now + self.polls.settings.pending_ttl;
                self.urgency = Some(outcome.urgency());
                self.seen = Some(outcome.read_time);
                let answer = self.polls.cache.keep_state(self.id, outcome).await;
                if let Some(lease) = &self.lease {
                    lease.release_with_state(&answer.outcome).await;
                }
                self.publish.send_modify(|progress| (progress.last, progress.failure) = (Some(answer), None));
                None
            }
            Err(error) if error.reason == Reason::SessionNotFound => {
                if let Some(lease) = self.lease.take() {
                    lease.release_with_not_found().await;
                }
                Some(Err(self.polls.cache.keep_not_found(self.id, error).await))
            }
            Err(error) if error.reason == Reason::UpstreamThrottled && permit.is_some() => {
                // The limiter slows down for all, and callers are held for as long as their deadlines allow.
                if let (Some(limiter), Some(permit)) = (&self.polls.limiter, permit) {
                    limiter.throttled(&permit);
                }
                // A capture stays away: it would keep the rate down for those who wait.
                if !self.interest.is_some() {
                    self.not_before = now + CAPTURE_PERIOD;
                }
                self.tell(error, Says::Wait);
                None
            }
            Err(error) if error.is_transient() => {
                self.fail(error, now).await;
                None
            }
            Err(error) if error.clock_was_off && self.attempts == 0 => {
                // The next read is signed with AWS's time. Told and remembered, this error would cost callers the seconds that credentials take.
                self.attempts += 1;
                self.not_before = now;
                None
            }
            Err(error) if self.capture => {
                // The session is still there for those who come back when this is mended.
                self.attempts = 0;
                self.not_before = now + CAPTURE_PERIOD;
                self.polls.cache.remember(self.id, &error, error.retry_delay().unwrap_or_default()).await;
                self.tell(error, Says::All);
                None
            }
            Err(error) => {
                self.polls.cache.remember(self.id, &error, error.retry_delay().unwrap_or_default()).await;
                Some(Err(error))
            }
        }
    }

    /// A trouble that may pass: tried again twice soon, and then told, remembered, and tried again later and later.
    async fn fail(&mut self, error: Error, now: Instant) {
        if !self.interest.is_some() {
            self.not_before = now + CAPTURE_PERIOD;
            return;
        }
        self.attempts += 1;
        if self.attempts < ATTEMPTS {
            self.not_before = now + (BACKOFF * self.attempts).mul_f64(fastrand::f64());
            return;
        }
        let delay = error.retry_delay().unwrap_or(BACKOFF);
        let pause = (delay * (1 << self.failures.min(5))).min(MAX_PAUSE).mul_f64(1.0 + fastrand::f64() / 2.0);
        self.not_before = now + pause;
        (self.attempts, self.failures) = (0, self.failures + 1);
        // Who is told to come back comes when the next read is due.
        let error = error.retried_after(pause);
        self.polls.cache.remember(self.id, &error, pause).await;
        self.tell(error, Says::Now);
    }

    /// Keeps the result of a session that has ended: for all replicas first, since the first result
    /// holds for all.
    async fn keep(&self, mut outcome: Outcome, images: Images) -> Kept {
        let cache = &self.polls.cache;
        let images = cache.assess(self.id, &mut outcome, images).await;
        let Some(shared) = self.shared() else { return cache.keep(self.id, outcome, Some(images)).await };
        match shared.save(self.id, &outcome, &images).await {
            Some(first) if first.agrees_with(&outcome) => {
                (outcome.read_time, outcome.read_at) = (first.read_time, first.read_at);
                (outcome.until, outcome.images_until) = (first.until, first.images_until);
                cache.keep(self.id, outcome, Some(images)).await
            }
            Some(first) => Kept::Contradicted(cache.keep(self.id, first, None).await.into_answer()),
            None => cache.keep(self.id, outcome, Some(images)).await,
        }
    }

    /// Returns the answer after a final read. Logs and counts a read that contradicts the first
    /// result; nothing of it is cached.
    fn settle(&self, kept: Kept, aws_request_id: Option<&str>) -> Answer {
        if matches!(kept, Kept::Contradicted(_)) {
            let session = self.polls.session_refs.reference(self.id);
            tracing::warn!(%session, aws_request_id, "AWS now says something else of a session that had ended: the first result stays");
            self.polls.metrics.contradictions.inc();
        }
        kept.into_answer()
    }

    /// Returns the answer after a read for images. If the read had none, AWS is not read again.
    async fn settle_images(&self, kept: Kept, aws_request_id: Option<&str>) -> Answer {
        let answer = self.settle(kept, aws_request_id);
        if answer.images.is_none() {
            let ttl = answer.outcome.images_until.saturating_duration_since(Instant::now());
            self.polls.cache.remember(self.id, &Error::new(Reason::UpstreamMalformed), ttl).await;
        }
        answer
    }

    /// What replicas share, when this poll is one that the others follow.
    fn shared(&self) -> Option<&SharedCache> {
        self.lease.as_ref().and(self.polls.shared.as_deref())
    }

    fn tell(&self, error: Error, says: Says) {
        let failure = Failure { error, at: Instant::now(), says };
        self.publish.send_modify(|progress| progress.failure = Some(failure));
    }
}
