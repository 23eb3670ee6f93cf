//! The events of a poll and the actions that follow.

use crate::{
    error::Error,
    results::{
        coordinator::{Claim, ClaimTo, Release, RemoteState},
        poll::subscription::ReadFailure,
        priority::Priority,
        session_result::{Images, SessionResult},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// An event of a poll.
pub enum Event {
    /// The poll task runs, and no result is cached.
    Started,
    /// The time of the last [`Action::WaitUntil`] has come.
    Time,
    /// The first subscriber came, or the last one left and the grace period is over.
    SubscribersChanged {
        any: bool,
    },
    /// [`Action::Look`] found what other replicas know.
    Remote(RemoteState),
    PermitGranted,
    /// Another client displaced the first read from the queue, which is full.
    Displaced(Error),
    /// [`Action::Claim`] got its reply.
    Claimed(Claim),
    /// A renewal of the lease was denied during the read.
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
    /// Leaves the queue, if the poll has a ticket.
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
    PublishPending(Arc<SessionResult>),
    PublishFailure(ReadFailure),
    /// Publishes the response that ends the poll for all subscribers.
    PublishLast(Box<LastResponse>),
    /// Waits for this time or the next event, whichever comes first.
    WaitUntil(Instant),
    /// Removes the poll from the registry, unless it has subscribers again.
    Unregister,
    End,
}

/// How the poll ends.
pub enum LastResponse {
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
    pub result: SessionResult,
    pub images: Images,
    pub aws_request_id: Option<String>,
}
