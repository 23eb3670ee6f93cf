//! One poll over all replicas: every replica that is asked for a session waits for its turn to read it, whichever has one takes the lease and
//! reads, and the others learn of it through the store. So the slots of all replicas go to the most urgent sessions of all.

use super::{CAPTURE_PERIOD, Poll};
use crate::{
    error::{Error, Reason},
    proto::LivenessStatus,
    results::{
        Answer,
        limiter::{Need, Permit},
        outcome::Outcome,
        shared_cache::Known,
    },
};
use std::time::Duration;
use tokio::time::Instant;

/// How often a replica looks what others have read: when the session may end any moment, so that its callers learn of that little later than
/// those of the replica that reads; when its person has not begun, or nothing is known of it, since ids are free to invent and a look is not; and
/// when nobody waits.
const LOOK_PERIOD: Duration = Duration::from_millis(80);
const CREATED_LOOK_PERIOD: Duration = Duration::from_millis(250);
const IDLE_LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Whose turn it is to read, or how the poll ends.
pub(super) type Granted = Result<bool, Result<Answer, Error>>;

impl Poll {
    /// Whether a session of which nothing is known is to be in this replica's queue: in the one's that comes first, and in more of them when that
    /// gets no slot for it. Otherwise waits until it is worth another look.
    pub(super) async fn claim_first_read(&mut self) -> Granted {
        let Some(lease) = self.lease.clone() else { return Ok(true) };
        let claim = lease.mark().await;
        if self.take_in(claim.known).await? {
            return Ok(false);
        }
        if !claim.is_granted {
            self.place = None;
            self.pause(Need::FirstRead, Instant::now() + LOOK_PERIOD).await?;
        }
        Ok(claim.is_granted)
    }

    /// Whether the session is worth the token that has come for it: not when another replica reads it now, or has just done so. The token goes to
    /// the next then.
    pub(super) async fn claim_read(&mut self, permit: &mut Option<Permit>) -> Granted {
        let Some(lease) = self.lease.clone() else { return Ok(true) };
        let claim = lease.claim().await;
        let is_news = self.take_in(claim.known).await;
        let is_fresh = matches!(is_news, Ok(true)) && self.not_before > Instant::now();
        if claim.is_granted && is_news.is_ok() && !is_fresh {
            return Ok(true);
        }
        if let (Some(limiter), Some(permit)) = (&self.polls.limiter, permit.take()) {
            limiter.pass_on(permit);
        }
        if claim.is_granted {
            lease.release().await;
        } else {
            self.not_before = self.not_before.max(Instant::now() + LOOK_PERIOD);
        }
        is_news.map(|_| false)
    }

    /// Looks again and again for what other replicas read. Completes with what is new.
    pub(super) async fn news(&self, need: Need) -> Known {
        let Some(lease) = &self.lease else { return std::future::pending().await };
        loop {
            tokio::time::sleep(self.look_period(need)).await;
            match lease.look().await {
                Known::Nothing => {}
                Known::State(state) if self.seen == Some(state.read_time) => {}
                known => return known,
            }
        }
    }

    /// Keeps the lease while something goes on. When it is lost all the same, the session is read twice, and nothing else.
    pub(super) async fn while_leased<T>(&self, something: impl Future<Output = T>) -> T {
        let Some(lease) = &self.lease else { return something.await };
        let mut something = std::pin::pin!(something);
        tokio::select! {
            done = &mut something => return done,
            () = lease.kept() => {}
        }
        something.await
    }

    /// Takes over what another replica has read. Answers whether that was news; an error is the end of the poll.
    pub(super) async fn take_in(&mut self, known: Known) -> Result<bool, Result<Answer, Error>> {
        match known {
            // The store has the latest only; by its time alone a replica whose clock is behind would not be heard.
            Known::State(state) if self.seen != Some(state.read_time) => {
                self.take_over(state).await;
                Ok(true)
            }
            Known::State(_) | Known::Nothing => Ok(false),
            Known::Ended(outcome) => Err(Ok(self.polls.cache.keep(self.id, outcome, None).await.into_answer())),
            Known::NotFound => {
                let error = Error::new(Reason::SessionNotFound);
                Err(Err(self.polls.cache.keep_not_found(self.id, error).await))
            }
        }
    }

    async fn take_over(&mut self, state: Outcome) {
        // It is no first read any more.
        self.place = None;
        self.seen = Some(state.read_time);
        self.capture = self.polls.settings.capture;
        self.urgency = Some(state.urgency());
        self.not_before = state.read_at + self.polls.settings.pending_ttl;
        (self.attempts, self.failures) = (0, 0);
        let answer = self.polls.cache.keep_state(self.id, state).await;
        self.publish.send_modify(|progress| (progress.last, progress.failure) = (Some(answer), None));
    }

    fn look_period(&self, need: Need) -> Duration {
        let is_created = |answer: &Answer| answer.outcome.result.status() == LivenessStatus::Created;
        match need {
            Need::Capture => IDLE_LOOK_PERIOD,
            _ if self.publish.borrow().last.as_ref().is_none_or(is_created) => CREATED_LOOK_PERIOD,
            _ => LOOK_PERIOD,
        }
    }

    /// Waits, unless the session is wanted more or less than before. An error is the end of the poll.
    async fn pause(&self, need: Need, until: Instant) -> Result<(), Result<Answer, Error>> {
        tokio::select! {
            biased;
            () = self.polls.stopping.cancelled() => Err(Err(Error::new(Reason::ShuttingDown))),
            () = self.reconsidered(need) => Ok(()),
            () = tokio::time::sleep_until(until.min(Instant::now() + CAPTURE_PERIOD)) => Ok(()),
        }
    }
}
