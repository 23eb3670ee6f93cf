//! What happens to a poll, and what the poll does about it.

use crate::{
    error::Error,
    results::{
        Images, SessionResponse,
        coordinator::{ClaimTo, Release, RemoteState},
        polls::Failure,
        priority::Priority,
        session_result::SessionResult,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Something that happened to a poll.
pub enum Event {
    /// The poll task runs, and no result is cached.
    Started,
    /// The poll task runs, and the previous poll of this session cached its result meanwhile.
    CacheHit(SessionResponse),
    /// The time of the last [`Action::WaitUntil`] has come.
    Time,
    /// The first subscriber came, or the last one has been gone for a while.
    SubscribersChanged {
        any: bool,
    },
    /// [`Action::Look`] found what other replicas know.
    Remote(RemoteState),
    PermitGranted,
    /// This replica has the lease that it claimed.
    LeaseGranted(RemoteState),
    /// Another replica has the lease.
    LeaseDenied(RemoteState),
    /// Another replica took the lease during the read.
    LeaseLost,
    ReadResult(Result<ReadResult, Error>),
    /// The drain period is over, and the read was dropped.
    ReadAborted,
    /// A graceful shutdown has begun.
    Shutdown,
    /// [`Action::Unregister`] removed the poll.
    Unregistered,
}

/// What the poll task has to do, in this order.
pub enum Action {
    /// Joins the queue, or marks the ticket that the poll was registered with as ready.
    Enqueue(Priority),
    LeaveQueue,
    Claim(ClaimTo),
    /// Fetches what other replicas know. Another operation replaces this one.
    Look,
    Read,
    /// Reports to the rate limiter that AWS throttled the read.
    ReportThrottled,
    /// Gives the permit, which is not used, to the next in the queue.
    PassOnPermit,
    Release(Release),
    /// Negative-caches the error for this time.
    CacheError(Error, Duration),
    Publish(Publication),
    /// Waits for this time or the next event, whichever comes first.
    WaitUntil(Instant),
    /// Removes the poll from the registry, unless it has subscribers again.
    Unregister,
    End,
}

/// What subscribers learn.
pub enum Publication {
    Pending(Arc<SessionResult>),
    Failure(Failure),
    /// Ends the poll for all subscribers.
    Last(Box<LastResponse>),
}

/// What subscribers learn when the poll ends.
pub enum LastResponse {
    Cached(SessionResponse),
    /// The session is final, by a read of this replica.
    Final(ReadResult),
    /// The session is final, by a read of another replica.
    RemoteFinal(SessionResult),
    /// A read for the images of a session that was final before.
    Images(Arc<SessionResult>, ReadResult),
    NotFound(Error),
    Error(Error),
}

/// A successful read.
pub struct ReadResult {
    pub outcome: SessionResult,
    pub images: Images,
    pub aws_request_id: Option<String>,
}
