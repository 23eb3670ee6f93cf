//! Who reads a session now: one replica, as far as the store can see to it.
//!
//! A lease is held for the time of a read, and expires unless its holder claims it again; so a replica that dies keeps nobody waiting for
//! long. Before that it may be a mark, of a replica that queues for the first read: a moment's start over the others. Two replicas may hold one for a moment, when the store fails over or a holder stands still; they
//! read the session twice then, which costs a read and nothing else.

use super::{Images, Kind, Outcome, Record, STATE_TTL, SharedCache, place};
use crate::{
    results::coordinator::{BoxFuture, Claim, ClaimTo, Coordinator, Release, RemoteState},
    session::SessionId,
    store::Operation,
};
use prost::Message;
use std::{sync::Arc, time::Duration};

/// Together with the pause between two looks, well under two seconds.
const LEASE_TTL: Duration = Duration::from_millis(1_500);

/// How often a lease is claimed again by its holder.
const RENEWAL: Duration = Duration::from_millis(500);

/// The start that the first to queue for a session has. A slot comes sooner, unless the quota is used up; and then the session is
/// better off in the queues of several replicas.
const MARK_TTL: Duration = Duration::from_millis(300);

/// Looks what is known of a session, and takes the lease when that is asked for and it is free, the caller's own, or only another's mark where
/// the caller would read. A lease is `r` to read or `w` to wait, and its holder's name. Answers whether the caller has it, or 2 and the
/// result, or else the last state and for how long it is still there.
const CLAIM: &str = "
local result = redis.call('GET', KEYS[1])
if result then return {2, result, 0} end
local state = redis.call('GET', KEYS[2])
local left = state and redis.call('PTTL', KEYS[2]) or 0
if ARGV[2] == '0' then return {0, state, left} end
local holder = redis.call('GET', KEYS[3])
local only_waits = holder and ARGV[3] == 'r' and string.sub(holder, 1, 1) == 'w'
if holder and string.sub(holder, 2) ~= ARGV[1] and not only_waits then return {0, state, left} end
redis.call('SET', KEYS[3], ARGV[3] .. ARGV[1], 'PX', ARGV[2])
return {1, state, left}
";

/// Gives the lease back, with what the read said when it said something.
const RELEASE: &str = "
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
local holder = redis.call('GET', KEYS[1])
if holder and string.sub(holder, 2) == ARGV[1] then redis.call('DEL', KEYS[1]) end
";

/// A claim on one session, under a name of its own.
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
        cache.store.insist::<()>(Operation::Lease, &release).await;
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
            cache.store.insist::<(u8, Option<Vec<u8>>, u64)>(Operation::Lease, &claim).await?;
        Some(match sealed {
            // What is there and does not open is nobody's result.
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
            Some(record) => match record.outcome(Duration::ZERO, Some(age)).filter(|state| !state.is_terminal()) {
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
                ClaimTo::Queue => self.claim_as("w", MARK_TTL).await,
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

    fn save<'a>(&'a self, outcome: &'a Outcome, images: &'a Images) -> BoxFuture<'a, Option<Outcome>> {
        Box::pin(self.cache.save(self.id, outcome, images))
    }
}
