//! Reads the result of a session: from the cache, from the shared cache, or by a poll of AWS.
//!
//! A cached result is returned at once. Any other caller subscribes to the one poll of its session.
//! This module does not know AWS's and gRPC's types.

mod cache;
mod coordinator;
mod limiter;
mod metrics;
mod poll;
mod priority;
mod session_result;
mod shared_cache;

pub use cache::CacheLimits;
pub use poll::{ReaderSettings, WaitBudget};
pub use session_result::{ImageSet, Images, SessionResponse, SessionResult};
pub use shared_cache::{Keyring, SharedCacheSettings};

use crate::{
    client::ClientKey,
    error::{Error, Reason},
    rekognition::Rekognition,
    session::{SessionId, SessionRefKey},
    store::Store,
    tasks::Tasks,
    telemetry::metrics::Registry,
};
use cache::{Cache, CachedError};
use limiter::{Limiter, SharedQuota};
use metrics::{NEEDS, ResultsMetrics};
use poll::{FRESH_STATUS_WAIT, LastRead, PollContext, wait_for_response};
use shared_cache::SharedCache;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a caller waits for another read of evicted images, before it gets the result without
/// them.
const IMAGES_WAIT: Duration = Duration::from_secs(5);

/// A response of AWS is up to 1.4 MB, and twice that while it is decoded. The quota keeps reads in
/// flight far below this limit; it matters without a limiter, or if AWS hangs.
const MAX_READS: usize = 128;

/// Reads the results of all sessions. Cheap to clone.
#[derive(Clone)]
pub struct SessionReader(Arc<PollContext>);

impl SessionReader {
    /// `shared` configures the shared cache, if there is one.
    pub fn new(
        rekognition: Rekognition,
        settings: ReaderSettings,
        shared: Option<(Store, SharedCacheSettings)>,
        registry: &Registry,
        session_refs: Arc<SessionRefKey>,
    ) -> Self {
        let metrics = ResultsMetrics::new(registry, settings.min_confidence);
        let (store, shared) = shared.unzip();
        let quota = |rate| store.clone().map(|store| SharedQuota::new(store, rate, rekognition.region()));
        let limiter = settings.rate.map(|rate| Limiter::new(rate, settings.replicas, quota(rate)));
        let shared = shared.zip(store.clone()).map(|(shared, store)| {
            Arc::new(SharedCache::new(store, shared, settings.limits, metrics.shared_cache_lookups.clone()))
        });
        Self(Arc::new(PollContext {
            cache: Cache::new(settings.limits, registry),
            limiter: limiter.map(Arc::new),
            shared,
            store,
            rekognition,
            settings,
            metrics,
            session_refs,
            reads: Semaphore::new(MAX_READS),
            shutdown: CancellationToken::new(),
            abort_reads: CancellationToken::new(),
            tasks: TaskTracker::new(),
            registry: poll::Registry::default(),
        }))
    }

    /// Returns the session's result for this client, with the content of `wanted` images that is
    /// available.
    ///
    /// # Errors
    /// Every reason except those of a malformed or forbidden request. Dropping the future does not
    /// affect other callers.
    pub async fn get(
        &self,
        id: SessionId,
        client: &ClientKey,
        wanted: ImageSet,
        budget: WaitBudget,
    ) -> Result<SessionResponse, Error> {
        let cache = &self.0.cache;
        let response = match cache.get(id, wanted).await {
            Some(cached) => cached,
            // Boxed, so that a cache hit does not move the future of a miss, which is some
            // kilobytes.
            None => Box::pin(self.read(id, client, budget)).await?,
        };
        if response.images.is_some() || !cache.has_images(&response.result, wanted) {
            return Ok(response);
        }
        // The images were evicted, or another replica has them.
        Ok(Box::pin(self.with_images(id, client, &response, wanted, budget)).await.unwrap_or(response))
    }

    /// Returns the result of a session that is not cached.
    async fn read(&self, id: SessionId, client: &ClientKey, budget: WaitBudget) -> Result<SessionResponse, Error> {
        let PollContext { cache, shared, registry, .. } = &*self.0;
        let pending = cache.pending(id).await;
        let cached_error = cache.negative.get(id).await;
        let waits = budget.wait_until.is_some();
        if let Some(cached_error) = &cached_error
            && let Some(response) = negative_hit(cached_error, pending.as_ref(), waits)
        {
            return response;
        }
        // The poll of a session looks in the shared cache itself.
        if let Some(shared) = shared.as_ref().filter(|_| !registry.lock().contains_key(&id))
            // Boxed, so that waiting callers do not keep its memory.
            && let Some(found) = Box::pin(cache.get_or_fetch(id, shared.find(id))).await
        {
            return Ok(found);
        }
        self.poll(id, client, pending, cached_error, budget).await
    }

    /// Subscribes to the poll of a session. If a read cannot succeed in time, the response is what
    /// is known.
    async fn poll(
        &self,
        id: SessionId,
        client: &ClientKey,
        pending: Option<SessionResponse>,
        cached_error: Option<Arc<CachedError>>,
        budget: WaitBudget,
    ) -> Result<SessionResponse, Error> {
        let not_before = cached_error.as_ref().map(|cached_error| cached_error.expires_at);
        let not_found = cached_error.filter(|cached_error| cached_error.error.is_not_found());
        let last_read = match (&not_found, &pending) {
            (Some(_), _) => LastRead::NotFound,
            (None, Some(pending)) => LastRead::Pending(Arc::clone(&pending.result)),
            (None, None) => LastRead::Never,
        };
        let subscription = match poll::subscribe(&self.0, id, client, last_read, not_before, budget.respond_by) {
            Ok(subscription) => subscription,
            // The quota rejects only a session that was never read. A wait that ended at once would
            // only be retried.
            Err(error) => match (not_found, pending) {
                (Some(not_found), _) => return Err(not_found.error.clone()),
                (None, Some(pending)) if budget.wait_until.is_none() || error.reason == Reason::ShuttingDown => {
                    return Ok(pending);
                }
                _ => return Err(error),
            },
        };
        let max_wait = not_found.as_ref().map(|_| FRESH_STATUS_WAIT);
        let response = wait_for_response(subscription, budget, self.0.settings.pending_ttl, max_wait).await;
        match (response, not_found) {
            // The earlier NotFound is a response too.
            (Err(error), Some(not_found)) if error.is_transient() || error.reason == Reason::DeadlineExceeded => {
                Err(not_found.error.clone())
            }
            (response, _) => response,
        }
    }

    /// Returns the response with images: from the shared cache, or from AWS while it has them and
    /// the rate limiter grants a read soon.
    async fn with_images(
        &self,
        id: SessionId,
        client: &ClientKey,
        response: &SessionResponse,
        wanted: ImageSet,
        budget: WaitBudget,
    ) -> Option<SessionResponse> {
        let (cache, result) = (&self.0.cache, &response.result);
        if let Some(shared) = &self.0.shared
            && let Some(images) = cache.images_or_fetch(id, result.images_expire_at, shared.find_images(id)).await
        {
            return Some(SessionResponse { result: Arc::clone(result), images: Some(images) });
        }
        let has_error = cache.negative.get(id).await.is_some_and(|cached_error| cached_error.is_current());
        if has_error || !cache.can_read_images_again(result, wanted) {
            return None;
        }
        let budget = WaitBudget { wait_until: None, ..budget };
        let last_read = LastRead::Final(Arc::clone(result));
        let subscription = poll::subscribe(&self.0, id, client, last_read, None, budget.respond_by).ok()?;
        let response = wait_for_response(subscription, budget, Duration::ZERO, Some(IMAGES_WAIT)).await.ok()?;
        response.result.is_final().then_some(response)
    }

    /// Spawns the tasks that free expired entries, grant permits and keep the shared cache
    /// connected.
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

    /// Completes when the shared cache is connected, or is known to be unavailable.
    pub async fn connected(&self) {
        if let Some(store) = &self.0.store {
            store.tried().await;
        }
    }

    /// Begins the graceful shutdown: each poll ends after its read in flight, and its subscribers
    /// get what is known. Cached results are still served.
    pub fn stop(&self) {
        self.0.shutdown.cancel();
        self.0.tasks.close();
    }

    /// Aborts the reads in flight. Their subscribers get what is known, or SHUTTING_DOWN.
    pub fn give_up(&self) {
        self.0.abort_reads.cancel();
    }

    /// Completes after [`Self::stop`], when the last poll has ended.
    pub async fn stopped(&self) {
        self.0.tasks.wait().await;
    }

    /// Sets the gauges.
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

    /// Returns the number of running polls.
    pub fn polls(&self) -> usize {
        self.0.registry.lock().len()
    }
}

/// Returns the response that the negative cache determines. A wait survives a transient error, and
/// only NotFound replaces a known status.
fn negative_hit(
    cached_error: &CachedError,
    pending: Option<&SessionResponse>,
    waits: bool,
) -> Option<Result<SessionResponse, Error>> {
    if !cached_error.is_current() || (waits && cached_error.error.is_transient()) {
        return None;
    }
    Some(match pending {
        Some(pending) if !waits && !cached_error.error.is_not_found() => Ok(pending.clone()),
        _ => Err(cached_error.to_error()),
    })
}

#[cfg(test)]
mod tests;
