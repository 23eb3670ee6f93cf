//! The cache in memory: four moka caches, each with its own expiry.
//!
//! Results and image content are separate, so that images expire sooner and never evict a result.
//! Eviction is LRU everywhere: moka's default rejects new entries when full, and here a new entry
//! may be the only copy of a result. moka frees an expired entry only during maintenance, so
//! [`Cache::maintain`] runs it every second.

mod expiring;
mod metrics;
mod negative;

use super::session_result::{AWS_LIFETIME, ImageSet, Images, SessionResponse, SessionResult};
use crate::{
    error::{Error, Reason},
    session::SessionId,
    telemetry::metrics::Registry,
};
use expiring::{ExpiresAt, lru};
use metrics::{CACHES, CacheMetrics};
use moka::future;
pub use negative::CachedError;
use negative::NegativeCache;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The limits of the cache in size and time.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    /// The TTL of results. Zero caches neither results nor images.
    pub result_ttl: Duration,
    pub result_entries: u64,
    /// The TTL of image content. Zero caches none.
    pub image_ttl: Duration,
    pub image_bytes: u64,
    /// The images that may be cached.
    pub images: ImageSet,
    /// The first TTL of NotFound. Zero caches none.
    pub not_found_ttl: Duration,
}

/// The TTL of the last pending status: AWS's three minutes, and more for SESSION_GONE.
const PENDING_TTL: Duration = Duration::from_secs(600);

/// The time between two maintenance runs, and the longest that an expired entry stays in memory.
const MAINTENANCE_PERIOD: Duration = Duration::from_secs(1);

/// The approximate size of a key and a moka entry. It bounds the number of entries with small
/// images.
const ENTRY_BYTES: usize = 256;

pub struct Cache {
    limits: CacheLimits,
    metrics: CacheMetrics,
    results: future::Cache<SessionId, Arc<SessionResult>>,
    images: future::Cache<SessionId, CachedImages>,
    /// The last pending status. None once the session is final.
    pending: future::Cache<SessionId, Option<Arc<SessionResult>>>,
    pub negative: NegativeCache,
}

#[derive(Clone)]
struct CachedImages {
    content: Arc<Images>,
    expires_at: Instant,
}

/// What became of a final result.
pub struct Inserted {
    pub response: SessionResponse,
    /// Whether it differs from the first result of the session, which is in the response.
    pub is_contradiction: bool,
}

impl Cache {
    pub fn new(limits: CacheLimits, registry: &Registry) -> Self {
        let metrics = CacheMetrics::new(registry);
        let [results, images, pending, negative] = CACHES.map(|cache| metrics.evictions.with_label_values(&[cache]));
        let weigh =
            |_: &SessionId, images: &CachedImages| (images.content.size() + ENTRY_BYTES).try_into().unwrap_or(u32::MAX);
        let results = lru(limits.result_entries, results)
            .expire_after(ExpiresAt(|result: &Arc<SessionResult>| result.expires_at));
        let images = lru(limits.image_bytes, images)
            .weigher(weigh)
            .expire_after(ExpiresAt(|images: &CachedImages| images.expires_at));
        Self {
            limits,
            metrics,
            results: results.build(),
            images: images.build(),
            pending: lru(limits.result_entries, pending).time_to_live(PENDING_TTL).build(),
            negative: NegativeCache::new(limits.not_found_ttl, negative),
        }
    }

    /// Returns the result of a final session, with those `wanted` images that are cached.
    pub async fn get(&self, id: SessionId, wanted: ImageSet) -> Option<SessionResponse> {
        let result = self.results.get(&id).await?;
        let images = match result.sent.and(wanted).is_empty() {
            true => None,
            false => self.images.get(&id).await.map(|images| images.content),
        };
        Some(SessionResponse { result, images })
    }

    /// Returns the last pending status of a session that may still be pending.
    pub async fn pending(&self, id: SessionId) -> Option<SessionResponse> {
        let result = self.pending.get(&id).await?.filter(|result| result.may_be_pending())?;
        Some(SessionResponse { result, images: None })
    }

    /// Returns whether a read can bring back `wanted` images that were evicted.
    pub fn can_read_images_again(&self, result: &SessionResult, wanted: ImageSet) -> bool {
        self.has_images(result, wanted) && result.read_at.elapsed() < AWS_LIFETIME
    }

    /// Returns whether the session has `wanted` images that have not expired, cached or not.
    pub fn has_images(&self, result: &SessionResult, wanted: ImageSet) -> bool {
        !result.sent.and(wanted).and(self.limits.images).is_empty() && Instant::now() < result.images_expire_at
    }

    /// Caches a pending status.
    pub async fn insert_pending(&self, id: SessionId, result: Arc<SessionResult>) -> SessionResponse {
        self.negative.remove(id).await;
        self.pending.insert(id, Some(Arc::clone(&result))).await;
        SessionResponse { result, images: None }
    }

    /// Sets when a final result and its images expire, and returns the images that may be cached.
    ///
    /// A session that is cached keeps its times: reading evicted images again does not extend them.
    pub async fn set_expiry(&self, id: SessionId, result: &mut SessionResult, images: Images) -> Images {
        let images = images.only(self.limits.images);
        (result.expires_at, result.images_expire_at) = match self.results.get(&id).await {
            Some(cached) => (cached.expires_at, cached.images_expire_at),
            None => self.expiry(result.read_at, &images),
        };
        images
    }

    /// Caches a final result. The first one is never replaced: a later one can only add images.
    pub async fn insert_final(&self, id: SessionId, result: SessionResult, images: Option<Images>) -> Inserted {
        self.remove_pending(id).await;
        let result = Arc::new(result);
        if result.expires_at > result.read_at {
            let entry = self.results.entry(id).or_insert(Arc::clone(&result)).await;
            if !entry.is_fresh() {
                return self.insert_images(id, entry.into_value(), &result, images).await;
            }
        }
        let images = self.cache_images(id, &result, images).await;
        Inserted { response: SessionResponse { result, images }, is_contradiction: false }
    }

    /// Caches the images of a later read, if its result agrees with the first one.
    pub async fn insert_images(
        &self,
        id: SessionId,
        first: Arc<SessionResult>,
        later: &SessionResult,
        images: Option<Images>,
    ) -> Inserted {
        if !first.agrees_with(later) {
            return Inserted { response: SessionResponse { result: first, images: None }, is_contradiction: true };
        }
        // With fewer images than the first read had, the others would seem to be absent.
        let expected = first.sent.and(self.limits.images);
        let images = images.map(|images| images.only(self.limits.images)).filter(|images| images.present() == expected);
        let images = self.cache_images(id, &first, images).await;
        // The callers that waited for this read get its source.
        let result = SessionResult { arrived: later.arrived, is_shared: later.is_shared, ..(*first).clone() };
        Inserted { response: SessionResponse { result: Arc::new(result), images }, is_contradiction: false }
    }

    async fn cache_images(&self, id: SessionId, result: &SessionResult, images: Option<Images>) -> Option<Arc<Images>> {
        let content = Arc::new(images?.in_own_pages());
        if result.images_expire_at > result.read_at {
            let images = CachedImages { content: Arc::clone(&content), expires_at: result.images_expire_at };
            self.images.insert(id, images).await;
        }
        Some(content)
    }

    /// Returns the cached result, or else fetches it once for all concurrent callers.
    pub async fn get_or_fetch(
        &self,
        id: SessionId,
        fetch: impl Future<Output = Option<SessionResult>>,
    ) -> Option<SessionResponse> {
        let fetch = async {
            let result = fetch.await?;
            self.remove_pending(id).await;
            Some(Arc::new(result))
        };
        let result = self.results.optionally_get_with(id, fetch).await?;
        Some(SessionResponse { result, images: None })
    }

    /// Returns the cached images, or else fetches them once for all concurrent callers.
    pub async fn images_or_fetch(
        &self,
        id: SessionId,
        expires_at: Instant,
        fetch: impl Future<Output = Option<Images>>,
    ) -> Option<Arc<Images>> {
        let fetch = async {
            let content = Arc::new(fetch.await?.in_own_pages());
            Some(CachedImages { content, expires_at })
        };
        self.images.optionally_get_with(id, fetch).await.map(|images| images.content)
    }

    async fn remove_pending(&self, id: SessionId) {
        self.negative.remove(id).await;
        if self.pending.contains_key(&id) {
            self.pending.insert(id, None).await;
        }
    }

    /// Returns when a result that was read at `read_at` and its images expire.
    fn expiry(&self, read_at: Instant, images: &Images) -> (Instant, Instant) {
        let image_ttl = match images.size() {
            0 => Duration::ZERO,
            // They would be evicted at once, and read again for every caller.
            size if (size + ENTRY_BYTES) as u64 > self.limits.image_bytes => Duration::ZERO,
            _ => self.limits.image_ttl.min(self.limits.result_ttl),
        };
        (read_at + self.limits.result_ttl, read_at + image_ttl)
    }

    /// Negative-caches that AWS does not know this session, and returns the error with its reason:
    /// SESSION_GONE if the session was pending here before.
    pub async fn insert_not_found(&self, id: SessionId, mut error: Error) -> Error {
        error.reason = match self.pending.contains_key(&id) {
            true => Reason::SessionGone,
            false => Reason::SessionNotFound,
        };
        self.negative.insert_not_found(id, error.clone()).await;
        error
    }

    /// Sets the gauges, as of the last maintenance.
    pub fn measure(&self) {
        let entries = [
            self.results.entry_count(),
            self.images.entry_count(),
            self.pending.entry_count(),
            self.negative.errors.entry_count(),
        ];
        for (cache, entries) in CACHES.iter().zip(entries) {
            self.metrics.entries.with_label_values(&[cache]).set(entries as i64);
        }
        self.metrics.image_bytes.set(self.images.weighted_size() as i64);
    }

    /// Runs the maintenance periodically. Never completes.
    pub async fn maintain(&self) {
        let mut tick = tokio::time::interval(MAINTENANCE_PERIOD);
        loop {
            tick.tick().await;
            self.run_pending_tasks().await;
        }
    }

    /// Frees evicted and expired entries.
    pub async fn run_pending_tasks(&self) {
        self.images.run_pending_tasks().await;
        self.results.run_pending_tasks().await;
        self.pending.run_pending_tasks().await;
        self.negative.errors.run_pending_tasks().await;
    }
}

#[cfg(test)]
mod tests;
