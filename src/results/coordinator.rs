//! How replicas share the reads of one session: one of them has the lease and reads, the others
//! take over what it read.

use super::session_result::{Images, SessionResult};
use std::{pin::Pin, sync::Arc};

/// One session of a poll, as this replica shares it with others. The default methods are those of a
/// replica that shares nothing.
pub trait Coordinator: Send + Sync {
    /// Returns whether other replicas may read the session too.
    fn has_peers(&self) -> bool {
        false
    }

    /// Claims the lease.
    fn claim(&self, _to: ClaimTo) -> BoxFuture<'_, Claim> {
        Box::pin(async { Claim { is_granted: true, remote: RemoteState::Unknown } })
    }

    /// Fetches what other replicas know.
    fn look(&self) -> BoxFuture<'_, RemoteState> {
        Box::pin(async { RemoteState::Unknown })
    }

    /// Renews the lease. Completes when another replica has it, or has saved the final result.
    fn renew(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Releases the lease, and publishes what was read to the other replicas.
    fn release(&self, _release: Release) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// Saves the result of a final session for all replicas. Returns the one that was saved before,
    /// if there is one.
    fn save<'a>(&'a self, _result: &'a SessionResult, _images: &'a Images) -> BoxFuture<'a, Option<SessionResult>> {
        Box::pin(async { None })
    }
}

/// A replica that shares nothing of the session.
pub struct Alone;

impl Coordinator for Alone {}

/// A future of a [`Coordinator`], boxed so that the trait can be used as `dyn Coordinator`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a lease is claimed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimTo {
    /// To queue the first read of a session.
    Queue,
    Read,
}

/// The reply to a claim.
pub struct Claim {
    /// Whether this replica has the lease.
    pub is_granted: bool,
    pub remote: RemoteState,
}

/// What other replicas know of a session.
pub enum RemoteState {
    Unknown,
    /// The last status that one of them read.
    Pending(SessionResult),
    Final(SessionResult),
    /// AWS did not know the session a short while ago.
    NotFound,
    /// AWS did not know the session minutes ago.
    WasNotFound,
}

/// What the other replicas learn when the lease is released.
pub enum Release {
    Nothing,
    Pending(Arc<SessionResult>),
    NotFound,
}
