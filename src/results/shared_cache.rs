//! What one replica has read, for all of them: results and states in the store, sealed.
//!
//! A session has up to four keys there, which the hash tag in their names keeps together: its
//! result and images once it has ended, its last state while it has not, and the lease of the
//! replica that reads it. None of this is ever needed: without the store, or with a value in it
//! that does not open, the answer is a miss.

mod keyring;
mod lease;
mod record;

pub use keyring::Keyring;
pub use lease::Lease;

use super::{CacheLimits, Images, SessionResult, session_result::AWS_LIFETIME};
use crate::{
    session::SessionId,
    store::{Operation, PREFIX, Store},
};
use keyring::{Key, Kind};
use prometheus::IntCounterVec;
use prost::Message;
use record::{ImagesRecord, Record};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// A state is of use for as long as AWS may know the session. What is left of this time in the
/// store tells a state's age by one clock, whatever the replicas' clocks say.
const STATE_TTL: Duration = AWS_LIFETIME;

const SAVE: &str = include_str!("shared_cache/save.lua");

/// What the shared cache is to be.
pub struct Settings {
    pub keyring: Keyring,
    /// Whether faces are kept there.
    pub images: bool,
}

pub struct SharedCache {
    store: Store,
    settings: Settings,
    limits: CacheLimits,
    lookups: IntCounterVec,
    /// Whether the log has been told of values that do not open.
    told: AtomicBool,
}

impl SharedCache {
    pub fn new(store: Store, settings: Settings, limits: CacheLimits, lookups: IntCounterVec) -> Self {
        Self { store, settings, limits, lookups, told: AtomicBool::new(false) }
    }

    /// The outcome of a session that has ended.
    pub async fn find(&self, id: SessionId) -> Option<SessionResult> {
        if self.limits.result_ttl.is_zero() {
            return None;
        }
        let (key, sealed) = self.look_up(id, "result").await?;
        self.outcome(key, id, Kind::Result, sealed, None).filter(|outcome| outcome.expires_at > Instant::now())
    }

    /// The content of its images, as far as it is held there and may be held here.
    pub async fn find_images(&self, id: SessionId) -> Option<Images> {
        if !self.settings.images || self.limits.images.is_empty() {
            return None;
        }
        let (key, sealed) = self.look_up(id, "images").await?;
        let record: ImagesRecord = self.open(key, id, Kind::Images, sealed)?;
        Some(record.images().only(self.limits.images))
    }

    /// Keeps the outcome of a session that has ended, for as long as it is held here. Answers the
    /// one that is there already.
    pub async fn save(&self, id: SessionId, outcome: &SessionResult, images: &Images) -> Option<SessionResult> {
        let left = |until: Instant| until.saturating_duration_since(Instant::now()).as_millis() as u64;
        if left(outcome.expires_at) == 0 {
            return None;
        }
        let key = self.settings.keyring.newest();
        let result = key.seal(id, Kind::Result, Record::of(outcome).encode_to_vec());
        let with_images = self.settings.images && images.size() > 0 && left(outcome.images_expire_at) > 0;
        let images = match with_images {
            true => key.seal(id, Kind::Images, ImagesRecord::of(images).encode_to_vec()),
            false => Vec::new(),
        };
        // What is there and does not open is nobody's result.
        for force in [0, 1] {
            let mut save = redis::cmd("EVAL");
            save.arg(SAVE).arg(4);
            for what in ["result", "images", "state", "lease"] {
                save.arg(place(key, id, what));
            }
            save.arg(&result)
                .arg(left(outcome.expires_at))
                .arg(&images)
                .arg(left(outcome.images_expire_at).max(1))
                .arg(force);
            let held = self.store.query_with_retries::<Option<Vec<u8>>>(Operation::Save, &save).await??;
            if let Some(outcome) = self.outcome(key, id, Kind::Result, held, None) {
                return Some(outcome);
            }
        }
        None
    }

    /// The value under any of the keys, and the key that it is under.
    async fn look_up(&self, id: SessionId, what: &str) -> Option<(&Key, Vec<u8>)> {
        for key in self.settings.keyring.all() {
            let get = redis::Cmd::get(place(key, id, what));
            if let Some(sealed) = self.store.query::<Option<Vec<u8>>>(Operation::Lookup, &get).await? {
                return Some((key, sealed));
            }
        }
        self.count("miss");
        None
    }

    fn outcome(
        &self,
        key: &Key,
        id: SessionId,
        kind: Kind,
        sealed: Vec<u8>,
        age: Option<Duration>,
    ) -> Option<SessionResult> {
        let record: Record = self.open(key, id, kind, sealed)?;
        let outcome = record.outcome(self.limits.result_ttl, age)?;
        (outcome.is_final() == (kind == Kind::Result)).then_some(outcome)
    }

    fn open<R: Message + Default>(&self, key: &Key, id: SessionId, kind: Kind, sealed: Vec<u8>) -> Option<R> {
        let record = key.open(id, kind, sealed).and_then(|opened| R::decode(opened).ok());
        self.count(if record.is_some() { "hit" } else { "unreadable" });
        if record.is_none() && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a value in the shared cache does not open and counts as not there; further ones are only counted: \
                 it was damaged, or somebody else writes there"
            );
        }
        record
    }

    fn count(&self, outcome: &str) {
        self.lookups.with_label_values(&[outcome]).inc();
    }
}

/// The name of one of a session's values.
fn place(key: &Key, id: SessionId, what: &str) -> String {
    format!("{PREFIX}{{{}}}:{what}", key.name(id))
}
