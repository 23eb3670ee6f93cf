//! Who reads a session: one replica at a time, as far as the store can see to it.
//!
//! A lease expires unless its holder claims it again, so that a replica that dies is followed by another. Two replicas may hold one for a
//! moment, when the store fails over or a holder stands still; they read the session twice then, which costs a read and nothing else.

use super::{Kind, Outcome, STATE_TTL, SharedCache, place};
use crate::{session::SessionId, store::Operation};
use std::{sync::Arc, time::Duration};

/// Together with the pause between two looks of those who follow, well under two seconds.
const LEASE_TTL: Duration = Duration::from_millis(1_500);

/// How often a lease is claimed again by its holder.
const RENEWAL: Duration = Duration::from_millis(500);

/// Takes the lease when it is free, the caller's own, or that of one for whom nobody waits while somebody waits for the caller. A lease is
/// `1` or `0` for whether somebody waits, and its holder's name. Answers whether the caller has it, with the result, or else the last
/// state and the time that it is still held for.
const CLAIM: &str = "
local result = redis.call('GET', KEYS[1])
if result then return {2, result, 0} end
local state = redis.call('GET', KEYS[2])
local left = state and redis.call('PTTL', KEYS[2]) or 0
local holder = redis.call('GET', KEYS[3])
local another = holder and string.sub(holder, 2) ~= ARGV[1]
if another and (ARGV[2] == '0' or string.sub(holder, 1, 1) == '1') then return {0, state, left} end
redis.call('SET', KEYS[3], ARGV[2] .. ARGV[1], 'PX', ARGV[3])
return {1, state, left}
";

const RELEASE: &str = "
local holder = redis.call('GET', KEYS[1])
if holder and string.sub(holder, 2) == ARGV[1] then redis.call('DEL', KEYS[1]) end
";

/// A claim on one session, under a name of its own.
pub struct Lease {
    cache: Arc<SharedCache>,
    id: SessionId,
    name: String,
}

/// What a claim comes to.
pub enum Claim {
    /// The session has ended.
    Ended(Outcome),
    /// The session is the caller's to read; this is its last known state.
    Granted(Option<Outcome>),
    /// Another replica reads it; this is what it knows.
    Elsewhere(Option<Outcome>),
    /// Another replica has just learnt that AWS does not know the session.
    NotFound,
}

impl Lease {
    pub fn new(cache: &Arc<SharedCache>, id: SessionId) -> Self {
        let name = format!("{:032x}", u128::from_be_bytes(SessionId::random().to_bytes()));
        Self { cache: Arc::clone(cache), id, name }
    }

    /// Claims the lease, for somebody who waits or for nobody. Without the store it is granted.
    pub async fn claim(&self, somebody_waits: bool) -> Claim {
        let Self { cache, id, name } = self;
        let key = cache.settings.keyring.newest();
        let mut claim = redis::cmd("EVAL");
        claim.arg(CLAIM).arg(3);
        for what in ["result", "state", "lease"] {
            claim.arg(place(key, *id, what));
        }
        claim.arg(name).arg(u8::from(somebody_waits)).arg(LEASE_TTL.as_millis() as u64);
        let answer = cache.store.ask::<(u8, Option<Vec<u8>>, u64)>(Operation::Lease, &claim).await;
        let Some((verdict, sealed, left)) = answer else { return Claim::Granted(None) };
        if verdict == 2 {
            let ended = sealed.and_then(|sealed| cache.outcome(key, *id, Kind::Result, sealed, None));
            return ended.map_or(Claim::Granted(None), Claim::Ended);
        }
        let record = sealed.and_then(|sealed| cache.open::<super::Record>(key, *id, Kind::State, sealed));
        if record.as_ref().is_some_and(|record| record.result.is_none()) {
            return Claim::NotFound;
        }
        let age = STATE_TTL.saturating_sub(Duration::from_millis(left));
        let state = record.and_then(|record| record.outcome(Duration::ZERO, Some(age)));
        let state = state.filter(|state| !state.is_terminal());
        if verdict == 1 { Claim::Granted(state) } else { Claim::Elsewhere(state) }
    }

    /// Claims it again and again. Completes when it is another's.
    pub async fn kept(&self, somebody_waits: impl Fn() -> bool) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            if !matches!(self.claim(somebody_waits()).await, Claim::Granted(_)) {
                return;
            }
        }
    }

    /// Lets another replica have it at once.
    pub async fn release(&self) {
        let Self { cache, id, name } = self;
        let mut release = redis::cmd("EVAL");
        release.arg(RELEASE).arg(1).arg(place(cache.settings.keyring.newest(), *id, "lease")).arg(name);
        cache.store.ask::<()>(Operation::Lease, &release).await;
    }
}
