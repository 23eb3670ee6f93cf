//! The negative cache: errors that callers of a session get again without a read.

use super::expiring::lru;
use crate::{error::Error, session::SessionId};
use moka::future;
use prometheus::IntCounter;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The longest TTL of NotFound: a caller that polls a wrong id learns nothing new.
const MAX_NOT_FOUND_TTL: Duration = Duration::from_secs(60);

/// How long an entry is kept. It outlives its own TTL, so that the next NotFound doubles the TTL.
const ENTRY_TTL: Duration = Duration::from_secs(300);

/// The most entries. They are small, but any client can invent session ids: at most a few MB.
const MAX_ENTRIES: u64 = 10_000;

pub struct NegativeCache {
    pub(super) errors: future::Cache<SessionId, Arc<CachedError>>,
    not_found_ttl: Duration,
}

#[derive(Debug)]
pub struct CachedError {
    pub error: Error,
    /// When AWS returned it, and when callers no longer get it.
    pub since: Instant,
    pub expires_at: Instant,
}

impl CachedError {
    pub fn is_current(&self) -> bool {
        Instant::now() < self.expires_at
    }

    /// Returns the error with the delay that is left.
    pub fn to_error(&self) -> Error {
        self.error.clone().retried_after(self.expires_at - Instant::now())
    }
}

impl NegativeCache {
    /// `not_found_ttl` is the first TTL of NotFound; zero caches none.
    pub fn new(not_found_ttl: Duration, evictions: IntCounter) -> Self {
        let errors = lru(MAX_ENTRIES, evictions).time_to_live(ENTRY_TTL.max(not_found_ttl)).build();
        Self { errors, not_found_ttl }
    }

    /// Returns the last error of a session. It may not be current.
    pub async fn get(&self, id: SessionId) -> Option<Arc<CachedError>> {
        self.errors.get(&id).await
    }

    /// Negative-caches NotFound. The TTL doubles each time, up to [`MAX_NOT_FOUND_TTL`].
    pub async fn insert_not_found(&self, id: SessionId, error: Error) {
        let before = self.get(id).await.filter(|before| before.error.is_not_found());
        let ttl = before.map_or(self.not_found_ttl, |before| (before.expires_at - before.since) * 2);
        self.replace(id, error, ttl.min(MAX_NOT_FOUND_TTL.max(self.not_found_ttl))).await;
    }

    /// Negative-caches another error for its retry delay, so that retries of callers do not become
    /// reads. It does not replace NotFound.
    pub async fn insert(&self, id: SessionId, error: &Error, ttl: Duration) {
        let is_not_found = self.get(id).await.is_some_and(|before| before.error.is_not_found());
        if !ttl.is_zero() && !is_not_found {
            self.replace(id, error.clone(), ttl).await;
        }
    }

    async fn replace(&self, id: SessionId, error: Error, ttl: Duration) {
        let since = Instant::now();
        self.errors.insert(id, Arc::new(CachedError { error, since, expires_at: since + ttl })).await;
    }

    pub async fn remove(&self, id: SessionId) {
        self.errors.invalidate(&id).await;
    }
}
