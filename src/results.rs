//! The result of a session, from memory or from AWS.
//!
//! A request goes one way: what is held is answered; whoever asks for anything else joins the one
//! poll of that session, and takes from it what it learns in time. AWS's types and gRPC's are not
//! known here.

mod cache;
mod coordinator;
mod following;
mod interest;
mod limiter;
mod metrics;
mod poll;
mod polls;
mod priority;
mod session_result;
mod shared_cache;

pub use cache::CacheLimits;
pub use session_result::{ImageSet, Images, SessionResponse, SessionResult};
pub use shared_cache::{Keyring, Settings as SharedCacheSettings};

use crate::{
    error::{Error, Reason},
    rekognition::Rekognition,
    session::{SessionId, SessionRefKey},
    store::Store,
    tasks::Tasks,
    telemetry::metrics::Registry,
};
use following::follow;
use metrics::NEEDS;
use polls::{Polls, Start};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How results are read and held.
#[derive(Clone, Copy, Debug)]
pub struct ReaderSettings {
    pub limits: CacheLimits,
    /// The age up to which a state is current, and the pause between two reads of a session.
    pub pending_ttl: Duration,
    /// Whether a session is read to its end though nobody waits for it any more.
    pub capture: bool,
    /// HTTP attempts a second that AWS grants to the account; nothing when there is no limit.
    pub rate: Option<f64>,
    /// How many replicas share them, where no store is there to see to it.
    pub replicas: u32,
}

/// How long a caller can be held.
#[derive(Clone, Copy, Debug)]
pub struct WaitBudget {
    /// Until when it waits for the session to end; nothing when it wants the current state.
    pub wait_until: Option<Instant>,
    /// When it must have an answer, whatever it is.
    pub respond_by: Instant,
}

/// A caller who wants the current state is held so long for a newer one than the last that is
/// known. It is the longest that a person, or a poller with half a second between its calls, takes
/// for "at once".
const FRESH_STATE_WAIT: Duration = Duration::from_secs(1);

/// Who wants images that had to make room is held so long for another read of them, and then has
/// the outcome without.
const IMAGES_WAIT: Duration = Duration::from_secs(5);

/// The results of all sessions. Cheap to clone.
#[derive(Clone)]
pub struct SessionReader(Arc<Polls>);

impl SessionReader {
    /// `shared` is what replicas share, when they do.
    pub fn new(
        rekognition: Rekognition,
        settings: ReaderSettings,
        shared: Option<(Store, SharedCacheSettings)>,
        registry: &Registry,
        session_refs: Arc<SessionRefKey>,
    ) -> Self {
        Self(Arc::new(Polls::new(rekognition, settings, shared, registry, session_refs)))
    }

    /// The session's state, and the content of `wanted` images as far as it can be had.
    ///
    /// # Errors
    /// Every reason but those of a malformed or forbidden request. Dropping the future costs nobody
    /// else anything.
    pub async fn get(&self, id: SessionId, wanted: ImageSet, budget: WaitBudget) -> Result<SessionResponse, Error> {
        // Boxed, so that the future of a call stays below the 1,032 bytes that malloc serves
        // fastest.
        let answer = match Box::pin(self.0.cache.answer(id, wanted)).await {
            Some(cached) => cached,
            // Boxed, so that a hit does not move the future of a miss about, which is some
            // kilobytes.
            None => Box::pin(self.learn(id, budget)).await?,
        };
        if answer.images.is_some() || !self.0.cache.has_images(&answer.result, wanted) {
            return Ok(answer);
        }
        // The faces had to make room, or another replica has them. When they cannot be had, the
        // outcome is still an answer.
        Ok(Box::pin(self.with_images(id, &answer, wanted, budget)).await.unwrap_or(answer))
    }

    /// The session's state, of which nothing is held here but what is known of it unfinished.
    async fn learn(&self, id: SessionId, budget: WaitBudget) -> Result<SessionResponse, Error> {
        let cache = &self.0.cache;
        let known = cache.unfinished(id).await;
        let cached_error = cache.negative.get(id).await;
        let waits = budget.wait_until.is_some();
        if let Some(cached_error) = cached_error.as_ref().filter(|cached_error| cached_error.is_current()) {
            let survived = waits && cached_error.error.is_transient();
            match known {
                _ if survived => {}
                Some(known) if !waits && !cached_error.error.is_not_found() => return Ok(known),
                _ => return Err(cached_error.to_error()),
            }
        }
        // Once a session is polled, whoever polls it looks there.
        if let Some(shared) = self.0.shared.as_ref().filter(|_| !self.0.polls(id))
            // Boxed, so that those who wait do not keep it.
            && let Some(found) = Box::pin(cache.outcome_or(id, shared.find(id))).await
        {
            return Ok(found);
        }
        let not_found = cached_error.as_ref().filter(|cached_error| cached_error.error.is_not_found());
        let start = match (&known, not_found) {
            (_, Some(cached_error)) => Start::NotFound(cached_error.since),
            (Some(known), None) => Start::Unfinished(known.clone()),
            (None, None) => Start::Unread,
        };
        let earliest = cached_error.as_ref().map(|cached_error| cached_error.until);
        let subscription = match self.0.join(id, start, earliest, budget.respond_by) {
            Ok(subscription) => subscription,
            // Only a session that was never read is refused. A wait that ended at once would only
            // be asked again.
            Err(error) => match (known, not_found) {
                (_, Some(cached_error)) => return Err(cached_error.error.clone()),
                (Some(known), None) if !waits || error.reason == Reason::ShuttingDown => return Ok(known),
                _ => return Err(error),
            },
        };
        let hold = not_found.map(|_| FRESH_STATE_WAIT);
        match (follow(subscription, budget, self.0.settings.pending_ttl, hold).await, not_found) {
            // That AWS did not know the session a while ago is an answer too, when it cannot be
            // asked again in time.
            (Err(error), Some(cached_error)) if error.is_transient() || error.reason == Reason::DeadlineExceeded => {
                Err(cached_error.error.clone())
            }
            (answer, _) => answer,
        }
    }

    /// Spawns the tasks that free expired entries, grant permits and keep the shared cache connected.
    pub fn spawn_tasks(&self, tasks: &mut Tasks) {
        let polls = Arc::clone(&self.0);
        tasks.spawn("cache maintenance", async move { polls.cache.maintain().await });
        if let Some(limiter) = self.0.limiter.clone() {
            tasks.spawn("rate limiter", async move { limiter.run().await });
        }
        if let Some(store) = self.0.store.clone() {
            tasks.spawn("shared cache", async move { store.run().await });
        }
    }

    /// Completes when the shared cache is in use, or is known not to be; it takes a moment after
    /// the start.
    pub async fn connected(&self) {
        if let Some(store) = &self.0.store {
            store.tried().await;
        }
    }

    /// Ends all polls, each once its read under way has ended, and answers those who wait with what
    /// is known. What is held is still answered.
    pub fn stop(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
    }

    /// Ends the reads under way too. Who waits for one is answered with what is known, or
    /// SHUTTING_DOWN.
    pub fn give_up(&self) {
        self.0.giving_up.cancel();
    }

    /// Completes after a stop, when the last poll has ended.
    pub async fn stopped(&self) {
        self.0.tasks.wait().await;
    }

    /// Sets the gauges to what is held, polled and queued now.
    pub fn measure(&self) {
        let metrics = &self.0.metrics;
        self.0.cache.measure();
        metrics.polls.set(self.polls() as i64);
        if let Some(limiter) = &self.0.limiter {
            metrics.limiter_rate.set(limiter.rate());
            for (need, waiting) in NEEDS.iter().zip(limiter.waiting()) {
                metrics.limiter_queue.with_label_values(&[need]).set(waiting as i64);
            }
        }
    }

    /// How many sessions are polled now.
    pub fn polls(&self) -> usize {
        self.0.count()
    }

    /// The answer with images: of the shared cache, or of AWS while it has them and grants a read
    /// soon.
    async fn with_images(
        &self,
        id: SessionId,
        held: &SessionResponse,
        wanted: ImageSet,
        budget: WaitBudget,
    ) -> Option<SessionResponse> {
        let (cache, outcome) = (&self.0.cache, &held.result);
        if let Some(shared) = &self.0.shared
            && let Some(images) = cache.images_or(id, outcome.images_expire_at, shared.find_images(id)).await
        {
            return Some(SessionResponse { result: Arc::clone(outcome), images: Some(images) });
        }
        if !cache.may_be_read_again(outcome, wanted) {
            return None;
        }
        if self.0.cache.negative.get(id).await.is_some_and(|cached_error| cached_error.is_current()) {
            return None;
        }
        let budget = WaitBudget { wait_until: None, ..budget };
        let subscription = self.0.join(id, Start::Ended(held.clone()), None, budget.respond_by).ok()?;
        let answer = follow(subscription, budget, Duration::ZERO, Some(IMAGES_WAIT)).await.ok()?;
        answer.result.is_final().then_some(answer)
    }
}

#[cfg(test)]
mod tests;
