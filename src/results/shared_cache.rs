//! The shared cache: what one replica has read, for all replicas, encrypted in Redis.
//!
//! A session has up to four keys, with one hash tag: its result and its images if it is final, its
//! last status if it is pending, and the lease of the replica that reads it. The cache is optional:
//! without Redis, or with a value that cannot be decrypted, a lookup is a miss.

mod keyring;
pub mod lease;
mod record;

pub use keyring::Keyring;

use super::{
    cache::CacheLimits,
    session_result::{AWS_LIFETIME, Images, SessionResult},
};
use crate::{
    session::SessionId,
    store::{Operation, PREFIX, Store},
};
use keyring::{Key, ValueKind};
use prometheus::IntCounterVec;
use prost::Message;
use record::{ImagesRecord, Record};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// A status is useful while AWS knows the session. The remaining TTL in Redis gives the age of a
/// status by one clock, whatever the clocks of the replicas say.
const STATUS_TTL: Duration = AWS_LIFETIME;

const SAVE: &str = include_str!("shared_cache/save.lua");

pub struct SharedCacheSettings {
    pub keyring: Keyring,
    /// Whether image content is saved too.
    pub images: bool,
}

pub struct SharedCache {
    store: Store,
    settings: SharedCacheSettings,
    limits: CacheLimits,
    lookups: IntCounterVec,
    /// Whether a value that cannot be decrypted has been logged.
    is_logged: AtomicBool,
}

impl SharedCache {
    pub fn new(store: Store, settings: SharedCacheSettings, limits: CacheLimits, lookups: IntCounterVec) -> Self {
        Self { store, settings, limits, lookups, is_logged: AtomicBool::new(false) }
    }

    /// Looks up the result of a final session.
    pub async fn find(&self, id: SessionId) -> Option<SessionResult> {
        if self.limits.result_ttl.is_zero() {
            return None;
        }
        let record = self.look_up(id, ValueKind::Result).await?;
        self.final_result(record).filter(|result| result.expires_at > Instant::now())
    }

    /// Looks up the image content of a final session, as far as this server may cache it.
    pub async fn find_images(&self, id: SessionId) -> Option<Images> {
        if !self.settings.images || self.limits.images.is_empty() {
            return None;
        }
        let record: ImagesRecord = self.look_up(id, ValueKind::Images).await?;
        Some(record.into_images().only(self.limits.images))
    }

    /// Saves the result of a final session with the TTL that it has here. Returns the one that was
    /// saved before, if there is one.
    pub async fn save(&self, id: SessionId, result: &SessionResult, images: &Images) -> Option<SessionResult> {
        let ttl = |expires_at: Instant| expires_at.saturating_duration_since(Instant::now()).as_millis() as u64;
        if ttl(result.expires_at) == 0 {
            return None;
        }
        let key = self.settings.keyring.newest();
        let record = key.encrypt(id, ValueKind::Result, Record::of(result).encode_to_vec());
        let has_images = self.settings.images && images.size() > 0 && ttl(result.images_expire_at) > 0;
        let images = match has_images {
            true => key.encrypt(id, ValueKind::Images, ImagesRecord::of(images).encode_to_vec()),
            false => Vec::new(),
        };
        // The second attempt replaces a saved value that cannot be decrypted.
        for replace in [0, 1] {
            let mut save = redis::cmd("EVAL");
            save.arg(SAVE).arg(4);
            for value in ["result", "images", "state", "lease"] {
                save.arg(key_name(key, id, value));
            }
            save.arg(&record)
                .arg(ttl(result.expires_at))
                .arg(&images)
                .arg(ttl(result.images_expire_at).max(1))
                .arg(replace);
            let saved = self.store.query_with_retries::<Option<Vec<u8>>>(Operation::Save, &save).await??;
            let saved = self.decrypt(key, id, ValueKind::Result, saved).and_then(|record| self.final_result(record));
            if saved.is_some() {
                return saved;
            }
        }
        None
    }

    /// Returns the value under the first of the keys that has one.
    async fn look_up<R: Message + Default>(&self, id: SessionId, kind: ValueKind) -> Option<R> {
        for key in self.settings.keyring.all() {
            let get = redis::Cmd::get(key_name(key, id, kind.name()));
            if let Some(encrypted) = self.store.query::<Option<Vec<u8>>>(Operation::Lookup, &get).await? {
                return self.decrypt(key, id, kind, encrypted);
            }
        }
        self.count("miss");
        None
    }

    fn final_result(&self, record: Record) -> Option<SessionResult> {
        record.into_result(self.limits.result_ttl, None).filter(SessionResult::is_final)
    }

    fn decrypt<R: Message + Default>(&self, key: &Key, id: SessionId, kind: ValueKind, value: Vec<u8>) -> Option<R> {
        let record = key.decrypt(id, kind, value).and_then(|bytes| R::decode(bytes).ok());
        self.count(if record.is_some() { "hit" } else { "unreadable" });
        if record.is_none() && !self.is_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a value in the shared cache cannot be decrypted and counts as a miss; further ones are only counted: \
                 it is damaged, or another program writes there"
            );
        }
        record
    }

    fn count(&self, outcome: &str) {
        self.lookups.with_label_values(&[outcome]).inc();
    }
}

/// Returns the Redis key of one of a session's values.
fn key_name(key: &Key, id: SessionId, value: &str) -> String {
    format!("{PREFIX}{{{}}}:{value}", key.name(id))
}
