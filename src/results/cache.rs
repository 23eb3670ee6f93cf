//! What is held in memory, and until when: four moka caches, each with a life of its own.
//!
//! Outcomes and the content of images are apart, so that faces can leave early and never push an outcome out. Eviction is LRU
//! everywhere: moka's default refuses new entries when full, and here a new entry may be the only copy of a result. moka frees
//! an expired value only when something makes it look, so [`Cache::maintain`] does, every second.

use super::{
    Answer, Source,
    outcome::{ImageSet, Images, Outcome},
};
use crate::{
    error::{Error, Reason},
    session::SessionId,
};
use moka::{Expiry, future, policy::EvictionPolicy};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How much is held, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Outcomes; zero holds none, and no image content either.
    pub result_ttl: Duration,
    pub result_entries: u64,
    /// Image content; zero holds none.
    pub image_ttl: Duration,
    pub image_bytes: u64,
    /// The most image content that is ever held.
    pub images: ImageSet,
    /// That AWS does not know a session; zero holds none.
    pub not_found_ttl: Duration,
}

/// AWS forgets a session three minutes after its creation, so at most so long after any read of it.
/// <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_CreateFaceLivenessSession.html>
const AWS_LIFETIME: Duration = Duration::from_secs(180);

/// How long an unfinished session is remembered, for SESSION_GONE: AWS's three minutes, and a while for those who still ask.
const UNFINISHED_TTL: Duration = Duration::from_secs(600);

/// Ids that AWS does not know are small but free to invent: enough for a second of a broken client, a few MB at most.
const NOT_FOUND_ENTRIES: u64 = 10_000;

/// An expired value leaves memory this long after its time at the latest.
const MAINTENANCE_PERIOD: Duration = Duration::from_secs(1);

/// A key and a moka entry, roughly, so that a cache of empty images is not endless.
const ENTRY_BYTES: usize = 256;

pub struct Cache {
    limits: Limits,
    outcomes: future::Cache<SessionId, Held<Arc<Outcome>>>,
    images: future::Cache<SessionId, Held<Arc<Images>>>,
    unfinished: future::Cache<SessionId, ()>,
    not_found: future::Cache<SessionId, Error>,
}

/// A value with the moment at which it has to be gone.
#[derive(Clone)]
struct Held<T> {
    value: T,
    until: Instant,
}

struct UntilItsTime;

impl<T> Expiry<SessionId, Held<T>> for UntilItsTime {
    fn expire_after_create(&self, _: &SessionId, held: &Held<T>, now: Instant) -> Option<Duration> {
        Some(held.until.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &SessionId,
        held: &Held<T>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(held.until.saturating_duration_since(now))
    }
}

impl Cache {
    pub fn new(limits: Limits) -> Self {
        let weigh =
            |_: &SessionId, held: &Held<Arc<Images>>| (held.value.size() + ENTRY_BYTES).try_into().unwrap_or(u32::MAX);
        Self {
            limits,
            outcomes: lru(limits.result_entries).expire_after(UntilItsTime).build(),
            images: lru(limits.image_bytes).weigher(weigh).expire_after(UntilItsTime).build(),
            unfinished: lru(limits.result_entries).time_to_live(UNFINISHED_TTL).build(),
            not_found: lru(NOT_FOUND_ENTRIES).time_to_live(limits.not_found_ttl).build(),
        }
    }

    /// The outcome of a session that has ended, and its image content if `wanted` and held.
    pub async fn answer(&self, id: SessionId, wanted: ImageSet) -> Option<Answer> {
        let outcome = self.outcomes.get(&id).await?.value;
        let images = match outcome.sent.and(wanted).is_empty() {
            true => None,
            false => self.images.get(&id).await.map(|held| held.value),
        };
        Some(Answer { outcome, images, source: Source::Cache })
    }

    /// The error of a session that AWS did not know a moment ago.
    pub async fn not_found(&self, id: SessionId) -> Option<Error> {
        self.not_found.get(&id).await
    }

    /// Whether content of `outcome`'s images may still be had from AWS when it is not held here.
    pub fn may_be_read_again(&self, outcome: &Outcome, wanted: ImageSet) -> bool {
        !outcome.sent.and(wanted).and(self.limits.images).is_empty() && outcome.read_at.elapsed() < AWS_LIFETIME
    }

    /// Keeps what a read said, as far as it may be held, and answers it.
    ///
    /// A session that was held before keeps its times: a face that is read again because its place was needed is not held a
    /// second longer for it.
    pub async fn keep(&self, id: SessionId, mut outcome: Outcome, images: Images) -> Answer {
        let images = Arc::new(images.only(self.limits.images));
        if !outcome.is_terminal() {
            self.unfinished.insert(id, ()).await;
            return Answer { outcome: Arc::new(outcome), images: Some(images), source: Source::Upstream };
        }
        (outcome.until, outcome.images_until) = match self.outcomes.get(&id).await {
            Some(held) => (held.value.until, held.value.images_until),
            None => self.lifetimes(outcome.read_at, &images),
        };
        if outcome.images_until > outcome.read_at {
            self.images.insert(id, Held { value: Arc::clone(&images), until: outcome.images_until }).await;
        }
        let outcome = Arc::new(outcome);
        if outcome.until > outcome.read_at {
            self.outcomes.insert(id, Held { value: Arc::clone(&outcome), until: outcome.until }).await;
        }
        Answer { outcome, images: Some(images), source: Source::Upstream }
    }

    /// Until when an outcome and its images are held that were read at `now`. Faces without an outcome could not be asked for.
    fn lifetimes(&self, now: Instant, images: &Images) -> (Instant, Instant) {
        let image_ttl = match images.size() {
            0 => Duration::ZERO,
            _ => self.limits.image_ttl.min(self.limits.result_ttl),
        };
        (now + self.limits.result_ttl, now + image_ttl)
    }

    /// Keeps that AWS does not know this session, so that a caller who polls a wrong id costs few reads. The error says whether the
    /// session was seen here before.
    pub async fn keep_not_found(&self, id: SessionId, mut error: Error) -> Error {
        error.reason = match self.unfinished.contains_key(&id) {
            true => Reason::SessionGone,
            false => Reason::SessionNotFound,
        };
        if !self.limits.not_found_ttl.is_zero() {
            self.not_found.insert(id, error.clone()).await;
        }
        error
    }

    /// Frees what has expired, for as long as it is polled.
    pub async fn maintain(&self) {
        let mut tick = tokio::time::interval(MAINTENANCE_PERIOD);
        loop {
            tick.tick().await;
            self.images.run_pending_tasks().await;
            self.outcomes.run_pending_tasks().await;
            self.unfinished.run_pending_tasks().await;
            self.not_found.run_pending_tasks().await;
        }
    }
}

fn lru<V: Clone + Send + Sync + 'static>(
    capacity: u64,
) -> future::CacheBuilder<SessionId, V, future::Cache<SessionId, V>> {
    future::Cache::builder().max_capacity(capacity).eviction_policy(EvictionPolicy::lru())
}

#[cfg(test)]
mod tests;
