//! What is held in memory, and until when: four moka caches, each with a life of its own.
//!
//! Outcomes and the content of images are apart, so that faces can leave early and never push an
//! outcome out. Eviction is LRU everywhere: moka's default refuses new entries when full, and here
//! a new entry may be the only copy of a result. moka frees an expired value only when something
//! makes it look, so [`Cache::maintain`] does, every second.

mod held;
mod metrics;
mod negative;

use super::{
    SessionResponse,
    session_result::{AWS_LIFETIME, ImageSet, Images, SessionResult},
};
use crate::{
    error::{Error, Reason},
    session::SessionId,
    telemetry::metrics::Registry,
};
use held::{Held, UntilItsTime, lru};
use metrics::{CACHES, CacheMetrics};
use moka::future;
use negative::NegativeCache;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How much is held, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
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

/// How long the last state of an unfinished session is remembered, for SESSION_GONE too: AWS's
/// three minutes, and a while for those who still ask.
const UNFINISHED_TTL: Duration = Duration::from_secs(600);

/// An expired value leaves memory this long after its time at the latest.
const MAINTENANCE_PERIOD: Duration = Duration::from_secs(1);

/// A key and a moka entry, roughly, so that a cache of empty images is not endless.
const ENTRY_BYTES: usize = 256;

pub struct Cache {
    limits: CacheLimits,
    metrics: CacheMetrics,
    outcomes: future::Cache<SessionId, Held<Arc<SessionResult>>>,
    images: future::Cache<SessionId, Held<Arc<Images>>>,
    /// The last state of a session that had not ended; nothing once it has.
    unfinished: future::Cache<SessionId, Option<Arc<SessionResult>>>,
    pub negative: NegativeCache,
}

/// What has become of a read that was to be kept.
pub enum Kept {
    /// It is the first of its session, or says the same as that one.
    Agreed(SessionResponse),
    /// It differs from the first, which is here.
    Contradicted(SessionResponse),
}

impl Kept {
    pub fn into_answer(self) -> SessionResponse {
        match self {
            Self::Agreed(answer) | Self::Contradicted(answer) => answer,
        }
    }
}

impl Cache {
    pub fn new(limits: CacheLimits, registry: &Registry) -> Self {
        let metrics = CacheMetrics::new(registry);
        let [results, pictures, unfinished, refusals] =
            CACHES.map(|cache| metrics.evictions.with_label_values(&[cache]));
        let weigh =
            |_: &SessionId, held: &Held<Arc<Images>>| (held.value.size() + ENTRY_BYTES).try_into().unwrap_or(u32::MAX);
        Self {
            limits,
            metrics,
            outcomes: lru(limits.result_entries, results).expire_after(UntilItsTime).build(),
            images: lru(limits.image_bytes, pictures).weigher(weigh).expire_after(UntilItsTime).build(),
            unfinished: lru(limits.result_entries, unfinished).time_to_live(UNFINISHED_TTL).build(),
            negative: NegativeCache::new(limits.not_found_ttl, refusals),
        }
    }

    /// The outcome of a session that has ended, and its image content if `wanted` and held.
    pub async fn answer(&self, id: SessionId, wanted: ImageSet) -> Option<SessionResponse> {
        let outcome = self.outcomes.get(&id).await?.value;
        let images = match outcome.sent.and(wanted).is_empty() {
            true => None,
            false => self.images.get(&id).await.map(|held| held.value),
        };
        Some(SessionResponse { result: outcome, images })
    }

    /// The last known state of a session that had not ended then, and may still not have.
    pub async fn unfinished(&self, id: SessionId) -> Option<SessionResponse> {
        let outcome = self.unfinished.get(&id).await?.filter(|outcome| outcome.may_be_pending())?;
        Some(SessionResponse { result: outcome, images: None })
    }

    /// Whether content of `outcome`'s images that is not held has left before its time, and AWS may
    /// still have it.
    pub fn may_be_read_again(&self, outcome: &SessionResult, wanted: ImageSet) -> bool {
        self.has_images(outcome, wanted) && outcome.read_at.elapsed() < AWS_LIFETIME
    }

    /// Whether there is `wanted` content of `outcome`'s images whose time has not come, wherever it
    /// is.
    pub fn has_images(&self, outcome: &SessionResult, wanted: ImageSet) -> bool {
        !outcome.sent.and(wanted).and(self.limits.images).is_empty() && Instant::now() < outcome.images_expire_at
    }

    /// Keeps the state of a session that has not ended.
    pub async fn keep_state(&self, id: SessionId, outcome: impl Into<Arc<SessionResult>>) -> SessionResponse {
        self.negative.remove(id).await;
        let mut outcome = outcome.into();
        if !outcome.sent.is_empty() {
            // A status that this version does not know may come with images. They are not cached.
            Arc::make_mut(&mut outcome).sent = ImageSet::NONE;
        }
        self.unfinished.insert(id, Some(Arc::clone(&outcome))).await;
        SessionResponse { result: outcome, images: None }
    }

    /// Says until when an outcome and its images are held, and leaves of these what may be.
    ///
    /// A session that was held before keeps its times: a face that is read again because its place
    /// was needed is not held a second longer for it.
    pub async fn assess(&self, id: SessionId, outcome: &mut SessionResult, images: Images) -> Images {
        let images = images.only(self.limits.images);
        (outcome.expires_at, outcome.images_expire_at) = match self.outcomes.get(&id).await {
            Some(held) => (held.value.expires_at, held.value.images_expire_at),
            None => self.lifetimes(outcome.read_at, &images),
        };
        images
    }

    /// Keeps the outcome of a session that has ended, until its time. The first one stays: a later
    /// one adds images at most.
    pub async fn keep(&self, id: SessionId, outcome: SessionResult, images: Option<Images>) -> Kept {
        self.negative.remove(id).await;
        if self.unfinished.contains_key(&id) {
            self.unfinished.insert(id, None).await;
        }
        let outcome = Arc::new(outcome);
        if outcome.expires_at > outcome.read_at {
            let held = Held { value: Arc::clone(&outcome), until: outcome.expires_at };
            let entry = self.outcomes.entry(id).or_insert(held).await;
            if !entry.is_fresh() {
                return self.keep_images(id, entry.into_value().value, &outcome, images).await;
            }
        }
        let images = images.map(Arc::new);
        self.hold_images(id, &outcome, images.as_ref()).await;
        Kept::Agreed(SessionResponse { result: outcome, images })
    }

    /// Keeps the images that a later read of a session has brought, if it agrees with the first.
    pub async fn keep_images(
        &self,
        id: SessionId,
        first: Arc<SessionResult>,
        later: &SessionResult,
        images: Option<Images>,
    ) -> Kept {
        if !first.agrees_with(later) {
            return Kept::Contradicted(SessionResponse { result: first, images: None });
        }
        // Fewer images than before would be taken for all there are.
        let wanted = first.sent.and(self.limits.images);
        let images = images.map(|images| images.only(self.limits.images)).filter(|images| images.present() == wanted);
        let images = images.map(Arc::new);
        self.hold_images(id, &first, images.as_ref()).await;
        // The callers that waited for this read get its source.
        let outcome = SessionResult { arrived: later.arrived, is_shared: later.is_shared, ..(*first).clone() };
        Kept::Agreed(SessionResponse { result: Arc::new(outcome), images })
    }

    async fn hold_images(&self, id: SessionId, outcome: &SessionResult, images: Option<&Arc<Images>>) {
        if let Some(images) = images.filter(|_| outcome.images_expire_at > outcome.read_at) {
            self.images.insert(id, Held { value: Arc::clone(images), until: outcome.images_expire_at }).await;
        }
    }

    /// The outcome that is held or else found, once for all who look at the same time.
    pub async fn outcome_or(
        &self,
        id: SessionId,
        found: impl Future<Output = Option<SessionResult>>,
    ) -> Option<SessionResponse> {
        let found = async {
            let outcome = found.await?;
            if self.unfinished.contains_key(&id) {
                self.unfinished.insert(id, None).await;
            }
            self.negative.remove(id).await;
            Some(Held { until: outcome.expires_at, value: Arc::new(outcome) })
        };
        let held = self.outcomes.optionally_get_with(id, found).await?;
        Some(SessionResponse { result: held.value, images: None })
    }

    /// The images that are held or else found, once for all who look at the same time.
    pub async fn images_or(
        &self,
        id: SessionId,
        until: Instant,
        found: impl Future<Output = Option<Images>>,
    ) -> Option<Arc<Images>> {
        let found = async { found.await.map(|images| Held { value: Arc::new(images), until }) };
        self.images.optionally_get_with(id, found).await.map(|held| held.value)
    }

    /// Until when an outcome and its images are held that were read at `now`. Faces without an
    /// outcome could not be asked for.
    fn lifetimes(&self, now: Instant, images: &Images) -> (Instant, Instant) {
        let image_ttl = match images.size() {
            0 => Duration::ZERO,
            // It would be evicted at once, and read again for everyone who asks.
            size if (size + ENTRY_BYTES) as u64 > self.limits.image_bytes => Duration::ZERO,
            _ => self.limits.image_ttl.min(self.limits.result_ttl),
        };
        (now + self.limits.result_ttl, now + image_ttl)
    }

    /// Negative-caches that AWS does not know this session, and returns the error with its reason:
    /// SESSION_GONE if the session was pending here before.
    pub async fn keep_not_found(&self, id: SessionId, mut error: Error) -> Error {
        error.reason = match self.unfinished.contains_key(&id) {
            true => Reason::SessionGone,
            false => Reason::SessionNotFound,
        };
        self.negative.insert_not_found(id, error.clone()).await;
        error
    }

    /// Sets the gauges to what is held now, as far as the last maintenance knows.
    pub fn measure(&self) {
        let entries = [
            self.outcomes.entry_count(),
            self.images.entry_count(),
            self.unfinished.entry_count(),
            self.negative.entry_count(),
        ];
        for (cache, entries) in CACHES.iter().zip(entries) {
            self.metrics.entries.with_label_values(&[cache]).set(entries as i64);
        }
        self.metrics.image_bytes.set(self.images.weighted_size() as i64);
    }

    /// Frees what has expired, for as long as it is polled.
    pub async fn maintain(&self) {
        let mut tick = tokio::time::interval(MAINTENANCE_PERIOD);
        loop {
            tick.tick().await;
            self.run_pending_tasks().await;
        }
    }

    /// Evicts what is too much and frees what has expired.
    pub async fn run_pending_tasks(&self) {
        self.images.run_pending_tasks().await;
        self.outcomes.run_pending_tasks().await;
        self.unfinished.run_pending_tasks().await;
        self.negative.run_pending_tasks().await;
    }
}

#[cfg(test)]
mod tests;
