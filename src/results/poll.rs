//! The polls: at most one per pending session, shared by all its callers.
//!
//! A poll is a pure state machine and the task that does its I/O. The task is detached from
//! callers, so a caller that hangs up costs the others nothing. With `--capture`, a poll that has
//! seen a pending status continues without subscribers, with spare permits and for at most three
//! minutes from its start: otherwise the result would be lost for callers that retry.

mod context;
mod io;
mod last_read;
mod state;
mod subscribers;
mod subscription;
mod task;

pub use context::{PollContext, ReaderSettings, Registry};
pub use last_read::LastRead;
pub use subscription::{FRESH_STATUS_WAIT, WaitBudget, wait_for_response};

use crate::{
    client::ClientKey,
    error::{Error, Reason},
    session::SessionId,
};
use context::Poll;
use std::{sync::Arc, time::Duration};
use subscribers::Subscribers;
use subscription::{Progress, Subscription};
use task::PollTask;
use tokio::{sync::watch, time::Instant};

/// AWS allows 75 concurrent sessions per account by default, so no account gets near this limit. At
/// the limit, a client displaces the last first read of the client that has queued the most.
const MAX_POLLS: usize = 10_000;

/// Subscribes a client to the poll of a session. Starts one if there is none: it knows `last_read`
/// and reads at `not_before` at the earliest.
///
/// # Errors
/// QUOTA_EXHAUSTED if the session was never read and gets no permit before `respond_by`;
/// OVERLOADED; SHUTTING_DOWN.
pub fn subscribe(
    context: &Arc<PollContext>,
    id: SessionId,
    client: &ClientKey,
    last_read: LastRead,
    not_before: Option<Instant>,
    respond_by: Instant,
) -> Result<Subscription, Error> {
    let now = Instant::now();
    let mut polls = context.registry.lock();
    if let Some(poll) = polls.get(&id) {
        let delay = poll.subscribers.delay(client).filter(|_| poll.progress.borrow().pending.is_none());
        if let Some(delay) = delay.filter(|delay| !delay.is_zero() && now + *delay > respond_by) {
            return Err(Error::quota_exhausted(delay));
        }
        context.metrics.polls_shared.inc();
        return Ok(poll.subscribe(client));
    }
    if context.shutdown.is_cancelled() {
        return Err(Error::new(Reason::ShuttingDown));
    }
    let is_first_read = matches!(last_read, LastRead::Never) && not_before.is_none_or(|not_before| not_before <= now);
    let limiter = context.limiter.as_ref().filter(|_| is_first_read);
    let delay = limiter.map_or(Duration::ZERO, |limiter| limiter.first_read_delay(client));
    if !delay.is_zero() && now + delay > respond_by {
        return Err(Error::quota_exhausted(delay));
    }
    let displaces = || context.limiter.as_ref().is_some_and(|limiter| limiter.displace(client));
    if polls.len() >= MAX_POLLS && !displaces() {
        return Err(Error::new(Reason::Overloaded));
    }
    let subscribers = Subscribers::new(context.limiter.as_ref());
    let position = subscribers.add(client);
    // Queued under the lock, so that the next caller's delay includes this read.
    let ticket = limiter.map(|limiter| subscribers.queue_first_read(limiter, context.shared.is_none()));
    let pending = last_read.pending_response();
    let progress = watch::Sender::new(Progress { pending, ..Progress::default() });
    let poll = Poll { progress, subscribed: Arc::default(), subscribers };
    let subscription = poll.subscribe_at(position);
    context.tasks.spawn(PollTask::new(id, context, poll.clone(), last_read, not_before, ticket).run());
    polls.insert(id, poll);
    Ok(subscription)
}
