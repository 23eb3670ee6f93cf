//! The lease of one session, in Redis: which replica reads the session now.
//!
//! ```text
//!             claim to queue: 300 ms                 claim to read: 1.5 s
//!   free ─────────────────────────────► queueing ──────────────────────────► reading
//!    ▲ ▲                                   │        by any replica            │   ▲ │
//!    │ └────────────── expires ────────────┘                                  │   └─┘ renewed
//!    └──────────── released with what was read, or expires ───────────────────┘  every 0.5 s
//! ```
//!
//! - *Queueing* gives the first replica that queues a session's first read a head start over the
//!   others. A permit comes sooner than it expires, unless the quota is used up.
//! - *Reading* lasts as long as one read. A replica that dies stops renewing, so another one reads
//!   after 1.5 s.
//! - The reader releases the lease together with the status that it read. The other replicas find
//!   it when they look, and respond with it. They find a final result in the same way.
//! - If a renewal is denied, the lease is lost: the read goes on, and the session is read twice.
//!   This happens if Redis fails over, or if the reader stands still for 1.5 s.
//! - Without Redis every claim is granted, so each replica reads for itself.

use super::{Images, Kind, Record, STATE_TTL, SessionResult, SharedCache, place};
use crate::{
    results::coordinator::{BoxFuture, Claim, ClaimTo, Coordinator, Release, RemoteState},
    session::SessionId,
    store::Operation,
};
use prost::Message;
use std::{sync::Arc, time::Duration};

/// How long a lease to read lasts. With the time between two looks it is well below two seconds.
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

    async fn claim_as(&self, kind: &str, ttl: Duration) -> Claim {
        let (is_granted, remote) = self.ask(kind, ttl).await.unwrap_or((true, RemoteState::Unknown));
        Claim { is_granted, remote }
    }

    async fn give_back(&self, record: Option<Record>, ttl: Duration) {
        let Self { cache, id, name } = self;
        let key = cache.settings.keyring.newest();
        let sealed = record.map(|record| key.seal(*id, Kind::State, record.encode_to_vec())).unwrap_or_default();
        let mut release = redis::cmd("EVAL");
        release.arg(RELEASE).arg(2).arg(place(key, *id, "lease")).arg(place(key, *id, "state"));
        release.arg(name).arg(sealed).arg(ttl.as_millis().max(1) as u64);
        cache.store.query_with_retries::<()>(Operation::Lease, &release).await;
    }

    async fn ask(&self, kind: &str, ttl: Duration) -> Option<(bool, RemoteState)> {
        let Self { cache, id, name } = self;
        let key = cache.settings.keyring.newest();
        let mut claim = redis::cmd("EVAL");
        claim.arg(CLAIM).arg(3);
        for what in ["result", "state", "lease"] {
            claim.arg(place(key, *id, what));
        }
        claim.arg(name).arg(ttl.as_millis() as u64).arg(kind);
        let (verdict, sealed, left) =
            cache.store.query_with_retries::<(u8, Option<Vec<u8>>, u64)>(Operation::Lease, &claim).await?;
        Some(match sealed {
            // A result that cannot be decrypted counts as a miss.
            Some(sealed) if verdict == 2 => match cache.outcome(key, *id, Kind::Result, sealed, None) {
                Some(outcome) => (false, RemoteState::Final(outcome)),
                None => (true, RemoteState::Unknown),
            },
            Some(sealed) => (verdict == 1, self.state(sealed, left)),
            None => (verdict == 1, RemoteState::Unknown),
        })
    }

    fn state(&self, sealed: Vec<u8>, left: u64) -> RemoteState {
        let Self { cache, id, .. } = self;
        let record: Option<Record> = cache.open(cache.settings.keyring.newest(), *id, Kind::State, sealed);
        let age = STATE_TTL.saturating_sub(Duration::from_millis(left));
        match record {
            Some(record) if record.result.is_none() => RemoteState::NotFound,
            Some(record) => match record.outcome(Duration::ZERO, Some(age)).filter(|state| !state.is_final()) {
                Some(state) => RemoteState::Pending(state),
                None => RemoteState::Unknown,
            },
            None => RemoteState::Unknown,
        }
    }
}

impl Coordinator for Lease {
    fn has_peers(&self) -> bool {
        true
    }

    /// Without Redis, the claim is granted.
    fn claim(&self, to: ClaimTo) -> BoxFuture<'_, Claim> {
        Box::pin(async move {
            match to {
                ClaimTo::Queue => self.claim_as("w", QUEUE_TTL).await,
                ClaimTo::Read => self.claim_as("r", LEASE_TTL).await,
            }
        })
    }

    fn look(&self) -> BoxFuture<'_, RemoteState> {
        Box::pin(async { self.ask("", Duration::ZERO).await.map_or(RemoteState::Unknown, |(_, remote)| remote) })
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

    /// Releases the lease together with what was read. NotFound is shared for a short while only.
    fn release(&self, release: Release) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match release {
                Release::Nothing => self.give_back(None, Duration::ZERO).await,
                Release::Pending(outcome) => self.give_back(Some(Record::of(&outcome)), STATE_TTL).await,
                Release::NotFound => {
                    let ttl = self.cache.limits.not_found_ttl.min(STATE_TTL);
                    self.give_back((!ttl.is_zero()).then(Record::default), ttl).await;
                }
            }
        })
    }

    fn save<'a>(&'a self, outcome: &'a SessionResult, images: &'a Images) -> BoxFuture<'a, Option<SessionResult>> {
        Box::pin(self.cache.save(self.id, outcome, images))
    }
}
