//! An LRU cache, and an expiry time of its own for each entry.

use crate::session::SessionId;
use moka::{Expiry, future, notification::RemovalCause, policy::EvictionPolicy};
use prometheus::IntCounter;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Returns the time at which an entry with this value expires.
pub struct ExpiresAt<V>(pub fn(&V) -> Instant);

impl<V> ExpiresAt<V> {
    fn ttl(&self, value: &V, now: std::time::Instant) -> Option<Duration> {
        Some((self.0)(value).into_std().saturating_duration_since(now))
    }
}

impl<V> Expiry<SessionId, V> for ExpiresAt<V> {
    fn expire_after_create(&self, _: &SessionId, value: &V, now: std::time::Instant) -> Option<Duration> {
        self.ttl(value, now)
    }

    fn expire_after_update(
        &self,
        _: &SessionId,
        value: &V,
        now: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.ttl(value, now)
    }
}

/// Builds an LRU cache that counts its evictions.
pub fn lru<V: Clone + Send + Sync + 'static>(
    capacity: u64,
    evictions: IntCounter,
) -> future::CacheBuilder<SessionId, V, future::Cache<SessionId, V>> {
    let listener = move |_: Arc<SessionId>, _: V, cause| {
        if cause == RemovalCause::Size {
            evictions.inc();
        }
    };
    future::Cache::builder().max_capacity(capacity).eviction_policy(EvictionPolicy::lru()).eviction_listener(listener)
}
