//! The task of one poll: delivers events to the state machine and performs its actions.

use super::{
    io::PollIo,
    state::{Action, Event, State, StateSettings},
};
use crate::{
    results::{
        ImageSet,
        coordinator::{Alone, Coordinator},
        interest::Interest,
        limiter::{Permit, Queued},
        polls::{Polls, Progress, Start},
        priority::Priority,
        shared_cache::Lease,
    },
    session::SessionId,
    telemetry::spans,
};
use std::{pin::Pin, sync::Arc};
use tokio::{sync::watch, time::Instant};

pub struct PollTask {
    io: Arc<PollIo>,
    state: State,
    progress: watch::Sender<Progress>,
    interest: Arc<Interest>,
    /// Whether the result may have been cached since the first subscriber looked.
    looks_up_cache: bool,
    ticket: Option<Ticket>,
    permit: Option<Permit>,
    /// The claim, look or read under way.
    operation: Option<Operation<Event>>,
    renewal: Option<Operation<()>>,
    wake_time: Option<Instant>,
}

type Operation<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What gets a permit, sooner or later.
enum Ticket {
    Queued(Queued),
    Unlimited,
}

impl PollTask {
    pub fn new(
        id: SessionId,
        polls: Arc<Polls>,
        progress: watch::Sender<Progress>,
        interest: Arc<Interest>,
        start: Start,
        earliest: Option<Instant>,
        ticket: Option<Queued>,
    ) -> Self {
        let looks_up_cache = !matches!(start, Start::Ended(_));
        // Each replica reads the images of a final session for itself.
        let coordinator: Box<dyn Coordinator> = match &polls.shared {
            Some(shared) if looks_up_cache => Box::new(Lease::new(shared, id)),
            _ => Box::new(Alone),
        };
        let settings = StateSettings {
            pending_ttl: polls.settings.pending_ttl,
            capture: polls.settings.capture,
            is_shared: coordinator.has_peers(),
            is_limited: polls.limiter.is_some(),
        };
        Self {
            state: State::new(settings, start, earliest, ticket.is_some(), fastrand::Rng::new(), Instant::now()),
            io: Arc::new(PollIo { id, polls, coordinator, caller: spans::Caller::current() }),
            progress,
            interest,
            looks_up_cache,
            ticket: ticket.map(Ticket::Queued),
            permit: None,
            operation: None,
            renewal: None,
            wake_time: None,
        }
    }

    /// Polls until the state machine ends.
    pub async fn run(mut self) {
        let _guard = UnregisterOnPanic { id: self.io.id, polls: Arc::clone(&self.io.polls) };
        let mut event = self.start().await;
        loop {
            let mut reply = None;
            self.wake_time = None;
            for action in self.state.handle(event, Instant::now()) {
                match action {
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

    async fn start(&mut self) -> Event {
        let cached = match self.looks_up_cache {
            true => self.io.polls.cache.answer(self.io.id, ImageSet::ALL).await,
            false => None,
        };
        cached.map_or(Event::Started, Event::CacheHit)
    }

    /// Removes the poll from the registry. Under the registry's lock no subscriber can come.
    fn unregister(&self) -> Event {
        match self.io.polls.leave(self.io.id, || self.interest.is_some()) {
            true => Event::Unregistered,
            false => Event::SubscribersChanged { any: true },
        }
    }

    async fn perform(&mut self, action: Action) {
        let limiter = &self.io.polls.limiter;
        match action {
            Action::Enqueue(need) => self.enqueue(need),
            Action::LeaveQueue => self.ticket = None,
            Action::Claim(to) => self.operation = Some(Box::pin(Arc::clone(&self.io).claim(to))),
            Action::Look => self.operation = Some(Box::pin(Arc::clone(&self.io).look())),
            Action::Read => {
                self.renewal = Some(Box::pin(Arc::clone(&self.io).renew()));
                self.operation = Some(Box::pin(Arc::clone(&self.io).read()));
            }
            Action::ReportThrottled => {
                if let (Some(limiter), Some(permit)) = (limiter, &self.permit) {
                    limiter.throttled(permit);
                }
            }
            Action::PassOnPermit => {
                if let (Some(limiter), Some(permit)) = (limiter, self.permit.take()) {
                    limiter.pass_on(permit);
                }
            }
            Action::Release(release) => self.io.coordinator.release(release).await,
            Action::CacheError(error, ttl) => self.io.polls.cache.negative.insert(self.io.id, &error, ttl).await,
            Action::Publish(publication) => {
                Box::pin(self.io.publish(publication, self.state.started(), &self.progress)).await;
            }
            Action::WaitUntil(time) => self.wake_time = Some(time),
            Action::Unregister | Action::End => unreachable!("run() handles these"),
        }
    }

    fn enqueue(&mut self, need: Priority) {
        match (&self.ticket, &self.io.polls.limiter) {
            (Some(Ticket::Queued(queued)), _) => queued.ready(),
            (_, Some(limiter)) => self.ticket = Some(Ticket::Queued(limiter.queue(need))),
            (_, None) => self.ticket = Some(Ticket::Unlimited),
        }
    }

    async fn next_event(&mut self) -> Event {
        let Self { io, state, interest, ticket, operation, renewal, .. } = self;
        let polls = &io.polls;
        let wake_time = self.wake_time;
        tokio::select! {
            biased;
            () = polls.stopping.cancelled(), if !state.is_stopping() => Event::Shutdown,
            () = polls.giving_up.cancelled(), if state.is_reading() => Event::ReadAborted,
            () = interest.turned(state.is_subscribed()) => {
                Event::SubscribersChanged { any: !state.is_subscribed() }
            }
            event = completed(operation) => {
                (*operation, *renewal) = (None, None);
                event
            }
            permit = granted(ticket) => {
                if let Some(Ticket::Queued(queued)) = ticket.take() {
                    polls.metrics.limiter_wait_seconds.observe(queued.since.elapsed().as_secs_f64());
                }
                self.permit = permit;
                Event::PermitGranted
            }
            () = completed(renewal) => {
                *renewal = None;
                Event::LeaseLost
            }
            () = sleep_until(wake_time) => Event::Time,
        }
    }
}

async fn completed<T>(operation: &mut Option<Operation<T>>) -> T {
    match operation {
        Some(operation) => operation.await,
        None => std::future::pending().await,
    }
}

async fn granted(ticket: &mut Option<Ticket>) -> Option<Permit> {
    match ticket {
        Some(Ticket::Queued(queued)) => Some(queued.granted().await),
        Some(Ticket::Unlimited) => None,
        None => std::future::pending().await,
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Removes a poll that panics from the registry.
struct UnregisterOnPanic {
    id: SessionId,
    polls: Arc<Polls>,
}

impl Drop for UnregisterOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.polls.leave(self.id, || false);
        }
    }
}
