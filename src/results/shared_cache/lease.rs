//! The lease of one session, in Redis: which replica reads the session now.
//!
//! ```text
//!                      claim to read, of a later read: 1.5 s
//!      ┌───────────────────────────────────────────────────────────────────┐
//!      │      claim to queue: 300 ms              claim to read: 1.5 s     ▼
//!   free ─────────────────────────────► queueing ─────────────────────► reading
//!    ▲ ▲                                   │         by any replica      │   ▲ │
//!    │ └────────────── expires ────────────┘                             │   └─┘ renewed
//!    └──────────── released with what was read, or expires ──────────────┘  every 0.5 s
//! ```
//!
//! - *Queueing* is for first reads only. It gives the first replica that queues the read a head
//!   start over the others. A permit comes sooner than it expires, unless the quota is used up.
//! - *Reading* lasts as long as one read. A replica that dies stops renewing, so another one reads
//!   after 1.5 s.
//! - The reader releases the lease together with the status that it read. The other replicas find
//!   it when they look, and respond with it. They find a final result in the same way.
//! - A renewal is denied if another replica has the lease, after the reader stood still for 1.5 s
//!   or Redis failed over, or if another replica has saved the final result. Then the lease is
//!   lost: the read continues, and the session is read twice.
//! - Without Redis every claim is granted, so each replica reads for itself.

use super::{STATUS_TTL, SharedCache, key_name, keyring::ValueKind, record::Record};
use crate::{
    results::{
        coordinator::{BoxFuture, Claim, ClaimTo, Coordinator, Release, RemoteState},
        session_result::{Images, SessionResult},
    },
    session::SessionId,
    store::Operation,
};
use prost::Message;
use std::{sync::Arc, time::Duration};

/// The TTL of a lease to read. With the time between two looks it is well below two seconds.
const LEASE_TTL: Duration = Duration::from_millis(1_500);

/// How often the holder renews its lease.
const RENEWAL: Duration = Duration::from_millis(500);

/// The head start of the first replica that queues.
const QUEUE_TTL: Duration = Duration::from_millis(300);

const CLAIM: &str = include_str!("claim.lua");

const RELEASE: &str = include_str!("release.lua");

/// This replica's claim on the lease of one session, under a random name.
pub struct Lease {
    cache: Arc<SharedCache>,
    id: SessionId,
    name: String,
}

impl Lease {
    pub fn new(cache: &Arc<SharedCache>, id: SessionId) -> Self {
        let name = format!("{:032x}", u128::from_be_bytes(SessionId::random().to_bytes()));
        Self { cache: Arc::clone(cache), id, name }
    }

    /// Claims the lease. Without Redis, the claim is granted.
    async fn claim_as(&self, kind: &str, ttl: Duration) -> Claim {
        self.run_claim(kind, ttl).await.unwrap_or(Claim { is_granted: true, remote: RemoteState::Unknown })
    }

    /// Looks up the session, and claims the lease if the TTL is not zero. None without Redis.
    async fn run_claim(&self, kind: &str, ttl: Duration) -> Option<Claim> {
        let Self { cache, id, name } = self;
        let key = cache.settings.keyring.newest();
        let mut claim = redis::cmd("EVAL");
        claim.arg(CLAIM).arg(4);
        for value in ["result", "state", "lease", "unknown"] {
            claim.arg(key_name(key, *id, value));
        }
        claim.arg(name).arg(ttl.as_millis() as u64).arg(kind);
        let (reply, value, status_ttl, is_unknown) =
            cache.store.query_with_retries::<(u8, Option<Vec<u8>>, u64, bool)>(Operation::Lease, &claim).await?;
        let Some(value) = value else {
            let remote = if is_unknown { RemoteState::WasNotFound } else { RemoteState::Unknown };
            return Some(Claim { is_granted: reply == 1, remote });
        };
        if reply != 2 {
            return Some(Claim { is_granted: reply == 1, remote: self.status(value, status_ttl) });
        }
        let result = cache.decrypt(key, *id, ValueKind::Result, value).and_then(|record| cache.final_result(record));
        // A result that cannot be decrypted counts as a miss.
        Some(Claim { is_granted: result.is_none(), remote: result.map_or(RemoteState::Unknown, RemoteState::Final) })
    }

    fn status(&self, value: Vec<u8>, ttl: u64) -> RemoteState {
        let Self { cache, id, .. } = self;
        let age = STATUS_TTL.saturating_sub(Duration::from_millis(ttl));
        match cache.decrypt::<Record>(cache.settings.keyring.newest(), *id, ValueKind::Status, value) {
            Some(record) if record.result.is_none() => RemoteState::NotFound,
            Some(record) => match record.into_result(Duration::ZERO, Some(age)).filter(|result| !result.is_final()) {
                Some(result) => RemoteState::Pending(result),
                None => RemoteState::Unknown,
            },
            None => RemoteState::Unknown,
        }
    }

    async fn release_with(&self, record: Option<Record>, ttl: Duration, unknown_ttl: Duration) {
        let Self { cache, id, name } = self;
        let key = cache.settings.keyring.newest();
        let value =
            record.map(|record| key.encrypt(*id, ValueKind::Status, record.encode_to_vec())).unwrap_or_default();
        let mut release = redis::cmd("EVAL");
        release.arg(RELEASE).arg(3);
        for value in ["lease", "state", "unknown"] {
            release.arg(key_name(key, *id, value));
        }
        release.arg(name).arg(value).arg(ttl.as_millis().max(1) as u64).arg(unknown_ttl.as_millis() as u64);
        cache.store.query_with_retries::<()>(Operation::Lease, &release).await;
    }
}

impl Coordinator for Lease {
    fn has_peers(&self) -> bool {
        true
    }

    fn claim(&self, to: ClaimTo) -> BoxFuture<'_, Claim> {
        match to {
            ClaimTo::Queue => Box::pin(self.claim_as("w", QUEUE_TTL)),
            ClaimTo::Read => Box::pin(self.claim_as("r", LEASE_TTL)),
        }
    }

    fn look(&self) -> BoxFuture<'_, RemoteState> {
        Box::pin(async { self.run_claim("", Duration::ZERO).await.map_or(RemoteState::Unknown, |claim| claim.remote) })
    }

    fn renew(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            loop {
                tokio::time::sleep(RENEWAL).await;
                if !self.claim_as("r", LEASE_TTL).await.is_granted {
                    return;
                }
            }
        })
    }

    /// Releases the lease and saves what was read. NotFound is a response for a short time only.
    /// After that, no replica takes the id for a new one.
    fn release(&self, release: Release) -> BoxFuture<'_, ()> {
        let (record, ttl, unknown_ttl) = match release {
            Release::Nothing => (None, Duration::ZERO, Duration::ZERO),
            Release::Pending(result) => (Some(Record::of(&result)), STATUS_TTL, Duration::ZERO),
            Release::NotFound => {
                let ttl = self.cache.limits.not_found_ttl.min(STATUS_TTL);
                ((!ttl.is_zero()).then(Record::default), ttl, STATUS_TTL)
            }
        };
        Box::pin(self.release_with(record, ttl, unknown_ttl))
    }

    fn save<'a>(&'a self, result: &'a SessionResult, images: &'a Images) -> BoxFuture<'a, Option<SessionResult>> {
        Box::pin(self.cache.save(self.id, result, images))
    }
}
