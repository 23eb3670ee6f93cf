//! One poll over all replicas: the one with the lease reads, the others learn of it through the store.

use super::{CAPTURE_PERIOD, Poll};
use crate::{
    error::{Error, Reason},
    results::{Answer, limiter::Need, outcome::Outcome, shared_cache::Claim},
};
use std::time::Duration;
use tokio::time::Instant;

/// How often a replica that does not read the session looks what is new, while somebody waits and while nobody does. Callers learn of
/// an end half of the first later on average; a replica that dies is followed after a lease and one of these.
const LOOK_PERIOD: Duration = Duration::from_millis(120);
const IDLE_LOOK_PERIOD: Duration = Duration::from_secs(1);

impl Poll {
    /// Whether the session is this replica's to read now. Otherwise takes in what another has read, and waits until it is worth a look again. An error is
    /// the end of the poll.
    pub(super) async fn claim(&mut self, need: Need) -> Result<bool, Result<Answer, Error>> {
        let Some(lease) = self.lease.clone() else { return Ok(true) };
        if std::mem::take(&mut self.yields) {
            lease.release().await;
            self.pause(need, self.not_before).await?;
        }
        match lease.claim(self.interest.is_some()).await {
            Claim::Granted(state) => {
                self.take_in(state).await;
                Ok(true)
            }
            Claim::Elsewhere(state) => {
                // Another replica's limiter has this session in its queue.
                self.place = None;
                self.take_in(state).await;
                let period = if need == Need::Capture { IDLE_LOOK_PERIOD } else { LOOK_PERIOD };
                self.pause(need, Instant::now() + period).await?;
                Ok(false)
            }
            Claim::Ended(outcome) => Err(Ok(self.polls.cache.keep(self.id, outcome, None).await)),
            Claim::NotFound => {
                let error = Error::new(Reason::SessionNotFound);
                Err(Err(self.polls.cache.keep_not_found(self.id, error).await))
            }
        }
    }

    /// Completes when another replica has taken the lease.
    pub(super) async fn lost(&self) {
        match &self.lease {
            Some(lease) => lease.kept(|| self.interest.is_some()).await,
            None => std::future::pending().await,
        }
    }

    /// Keeps the lease while something goes on. When it is lost all the same, the session is read twice, and nothing else.
    pub(super) async fn while_leased<T>(&self, something: impl Future<Output = T>) -> T {
        let mut something = std::pin::pin!(something);
        tokio::select! {
            done = &mut something => return done,
            () = self.lost() => {}
        }
        something.await
    }

    /// Takes over a state that another replica has read.
    async fn take_in(&mut self, state: Option<Outcome>) {
        // The store has the latest only; by time alone a replica whose clock is behind would not be heard.
        let Some(state) = state.filter(|state| self.seen != Some(state.read_time)) else { return };
        self.seen = Some(state.read_time);
        self.capture = self.polls.settings.capture;
        // It is no first read any more.
        self.place = None;
        self.urgency = Some(state.urgency());
        self.not_before = state.read_at + self.polls.settings.pending_ttl;
        let answer = self.polls.cache.keep_state(self.id, state).await;
        self.publish.send_modify(|progress| (progress.last, progress.failure) = (Some(answer), None));
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
