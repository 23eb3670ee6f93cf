//! The task of one poll: delivers events to the state machine and performs its actions.

use super::{
    context::{Poll, PollContext},
    io::PollIo,
    last_read::LastRead,
    state::{Action, Event, LastResponse, ReadResult, State, StateSettings},
};
use crate::{
    error::Error,
    results::{
        coordinator::{Alone, Coordinator},
        limiter::{Permit, Queued},
        priority::Priority,
        session_result::{ImageSet, SessionResponse},
        shared_cache::lease::Lease,
    },
    session::SessionId,
    telemetry::spans,
};
use std::{pin::Pin, sync::Arc};
use tokio::time::Instant;

pub struct PollTask {
    io: Arc<PollIo>,
    state: State,
    poll: Poll,
    /// Whether the result may have been cached since the first subscriber looked.
    looks_up_cache: bool,
    ticket: Option<Queued>,
    permit: Option<Permit>,
    /// The claim, look or read in progress.
    operation: Option<Operation<Event>>,
    renewal: Option<Operation<()>>,
    subscribers_changed: Operation<()>,
    wake_time: Option<Instant>,
}

type Operation<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl PollTask {
    pub fn new(
        id: SessionId,
        context: &Arc<PollContext>,
        poll: Poll,
        last_read: LastRead,
        not_before: Option<Instant>,
        ticket: Option<Queued>,
    ) -> Self {
        let looks_up_cache = !matches!(last_read, LastRead::Final(_));
        // Each replica reads the images of a final session for itself.
        let coordinator: Box<dyn Coordinator> = match &context.shared {
            Some(shared) if looks_up_cache => Box::new(Lease::new(shared, id)),
            _ => Box::new(Alone),
        };
        let settings = StateSettings {
            pending_ttl: context.settings.pending_ttl,
            capture: context.settings.capture,
            is_shared: coordinator.has_peers(),
            is_limited: context.limiter.is_some(),
        };
        Self {
            state: State::new(settings, last_read, not_before, fastrand::Rng::new(), Instant::now()),
            io: Arc::new(PollIo { id, context: Arc::clone(context), coordinator, caller: spans::Caller::current() }),
            looks_up_cache,
            ticket,
            permit: None,
            operation: None,
            renewal: None,
            subscribers_changed: Box::pin(poll.clone().subscribers_changed(true)),
            poll,
            wake_time: None,
        }
    }

    /// Polls until the state machine ends.
    pub async fn run(mut self) {
        if self.looks_up_cache
            && let Some(response) = self.io.context.cache.get(self.io.id, ImageSet::ALL).await
        {
            return self.publish_last(Ok(response));
        }
        let mut event = Event::Started;
        loop {
            let mut reply = None;
            self.wake_time = None;
            for action in self.state.handle(event, Instant::now()) {
                match action {
                    Action::Enqueue(priority) => reply = self.enqueue(priority),
                    Action::Unregister => reply = Some(self.unregister()),
                    Action::End => return,
                    action => self.perform(action).await,
                }
            }
            event = match reply {
                Some(event) => event,
                None => self.next_event().await,
            };
        }
    }

    /// Queues the poll for a permit. Without a rate limiter, the permit is granted at once.
    fn enqueue(&mut self, priority: Priority) -> Option<Event> {
        let Some(limiter) = &self.io.context.limiter else { return Some(Event::PermitGranted) };
        match &self.ticket {
            Some(ticket) => ticket.ready(),
            None if priority == Priority::FirstRead => {
                self.ticket = Some(self.poll.subscribers.queue_first_read(limiter, true));
            }
            None => self.ticket = Some(limiter.queue(priority)),
        }
        None
    }

    fn unregister(&mut self) -> Event {
        match self.io.context.registry.remove_unsubscribed(self.io.id) {
            true => Event::Unregistered,
            false => self.change_subscribers(true),
        }
    }

    /// Watches for the next change after this one.
    fn change_subscribers(&mut self, any: bool) -> Event {
        self.subscribers_changed = Box::pin(self.poll.clone().subscribers_changed(any));
        Event::SubscribersChanged { any }
    }

    async fn perform(&mut self, action: Action) {
        let io = Arc::clone(&self.io);
        let limiter = &self.io.context.limiter;
        match action {
            Action::LeaveQueue => self.ticket = None,
            Action::Claim(to) => {
                self.operation = Some(Box::pin(async move { Event::Claimed(io.coordinator.claim(to).await) }));
            }
            Action::Look => {
                self.operation = Some(Box::pin(async move { Event::Remote(io.coordinator.look().await) }));
            }
            Action::Read => {
                let lease = Arc::clone(&io);
                self.renewal = Some(Box::pin(async move { lease.coordinator.renew().await }));
                self.operation = Some(Box::pin(async move { Event::ReadResult(io.read().await) }));
            }
            Action::ReportThrottled => {
                if let (Some(limiter), Some(permit)) = (limiter, &self.permit) {
                    limiter.throttled(permit);
                }
            }
            Action::PassOnPermit => {
                if let (Some(limiter), Some(permit)) = (limiter, self.permit.take()) {
                    limiter.pass_on(&permit);
                }
            }
            Action::Release(release) => io.coordinator.release(release).await,
            Action::CacheError(error, ttl) => io.context.cache.negative.insert(io.id, &error, ttl).await,
            Action::PublishPending(result) => {
                let pending = io.context.cache.insert_pending(io.id, result).await;
                self.poll.progress.send_modify(|progress| (progress.pending, progress.failure) = (Some(pending), None));
            }
            Action::PublishFailure(failure) => {
                self.poll.progress.send_modify(|progress| progress.failure = Some(failure))
            }
            Action::PublishLast(last) => {
                if let (LastResponse::Final(read), Some(since)) = (&*last, self.state.waiting_since()) {
                    let delay = read.result.read_at - since;
                    io.context.metrics.final_result_delay_seconds.observe(delay.as_secs_f64());
                }
                let response = Box::pin(io.cache_last(*last, self.state.started)).await;
                self.publish_last(response);
            }
            Action::WaitUntil(time) => self.wake_time = Some(time),
            Action::Enqueue(_) | Action::Unregister | Action::End => unreachable!("run() handles these"),
        }
    }

    /// Unregisters first, so that a new caller gets the cached result or a new poll.
    fn publish_last(&self, response: Result<SessionResponse, Error>) {
        self.io.context.registry.remove(self.io.id);
        self.poll.progress.send_modify(|progress| progress.last = Some(response));
    }

    async fn next_event(&mut self) -> Event {
        let Self { io, state, ticket, operation, renewal, subscribers_changed, .. } = self;
        let context = &io.context;
        tokio::select! {
            biased;
            () = context.shutdown.cancelled(), if !state.is_stopping => Event::Shutdown,
            () = context.abort_reads.cancelled(), if state.is_reading() => Event::ReadAborted,
            () = subscribers_changed => {
                let any = !state.is_subscribed;
                self.change_subscribers(any)
            }
            event = some_or_pending(operation.as_mut()) => {
                (*operation, *renewal) = (None, None);
                if let (Event::ReadResult(read), Some(limiter), Some(permit)) = (&event, &context.limiter, &self.permit)
                    && let Some(is_known) = is_known(read)
                {
                    limiter.record_read(permit, is_known);
                }
                event
            }
            grant = some_or_pending(ticket.as_mut().map(Queued::granted)) => {
                if let Some(queued) = ticket.take() {
                    context.metrics.limiter_wait_seconds.observe(queued.since.elapsed().as_secs_f64());
                }
                match grant {
                    Ok(permit) => {
                        self.permit = Some(permit);
                        Event::PermitGranted
                    }
                    Err(delay) => Event::Displaced(Error::quota_exhausted(delay)),
                }
            }
            () = some_or_pending(renewal.as_mut()) => {
                *renewal = None;
                Event::LeaseLost
            }
            () = some_or_pending(self.wake_time.map(tokio::time::sleep_until)) => Event::Time,
        }
    }
}

/// Returns whether AWS knows the id. None if the read did not show it.
fn is_known(read: &Result<ReadResult, Error>) -> Option<bool> {
    match read {
        Ok(_) => Some(true),
        Err(error) => error.is_not_found().then_some(false),
    }
}

async fn some_or_pending<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Unregisters a poll that panics, so that the next caller starts a new one.
impl Drop for PollTask {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.io.context.registry.remove(self.io.id);
        }
    }
}
