//! A value with a time of its own to go, and a cache that the least recently used leave first.

use crate::session::SessionId;
use moka::{Expiry, future, notification::RemovalCause, policy::EvictionPolicy};
use prometheus::IntCounter;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A value with the moment at which it has to be gone.
#[derive(Clone)]
pub struct Held<T> {
    pub value: T,
    pub until: Instant,
}

pub struct UntilItsTime;

impl<T> Expiry<SessionId, Held<T>> for UntilItsTime {
    fn expire_after_create(&self, _: &SessionId, held: &Held<T>, now: std::time::Instant) -> Option<Duration> {
        Some(held.until.into_std().saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &SessionId,
        held: &Held<T>,
        now: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(held.until.into_std().saturating_duration_since(now))
    }
}

/// A cache that counts what leaves it for want of room.
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
