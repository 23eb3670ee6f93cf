//! The poll of one session as a pure state machine: events in, actions out.
//!
//! It does no I/O, takes no lock and reads no clock. Everything that a replica knows of a pending
//! session while it is polled is kept here and nowhere else.
//!
//! ```text
//!            not shared, or read before
//! Started ──────────────────────────────► Waiting ──► Queued ──► ClaimingRead ──► Reading
//!    │                                     ▲ ▲ ▲   due      permit     lease        │
//!    └─► ClaimingQueue ────────────────────┘ │ └────────────────────────────────────┘
//!          ▲   │ denied           granted    │             pending, or failed
//!          │   ▼                             │
//!         Denied                             └── from ClaimingRead, when it is denied
//! ```
//!
//! A final result, a permanent error and a shutdown lead from everywhere to Ended. A poll without
//! subscribers that has nothing to capture is unregistered and ends.

mod claim;
mod event;
mod known;
mod read_result;
mod schedule;

pub use event::{Action, Event, LastResponse, Publication, ReadResult};

use crate::{
    error::{Error, Reason},
    results::{coordinator::Release, polls::Start, priority::Priority},
};
use claim::Update;
use known::Known;
use std::time::Duration;
use tokio::time::Instant;

/// What a poll does depends on these.
#[derive(Clone, Copy)]
pub struct StateSettings {
    /// The age up to which a status is current, and the least time between two reads.
    pub pending_ttl: Duration,
    /// Whether a pending session without subscribers is read on.
    pub capture: bool,
    /// Whether replicas share what they read of this session.
    pub is_shared: bool,
    /// Whether there is a rate limiter.
    pub is_limited: bool,
}

pub struct State {
    settings: StateSettings,
    started: Instant,
    phase: Phase,
    known: Known,
    /// No read begins before.
    not_before: Instant,
    /// Failed attempts of the current read, and reads in a row whose attempts all failed.
    attempts: u32,
    failures: u32,
    is_subscribed: bool,
    is_stopping: bool,
    is_queued: bool,
    is_leased: bool,
    /// When to fetch what other replicas know; None during that, and in phases without it.
    next_look: Option<Instant>,
    rng: fastrand::Rng,
    actions: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Starting,
    /// Claims the lease to queue a first read.
    ClaimingQueue,
    /// Another replica queues the first read.
    Denied,
    /// Waits until the read is due.
    Waiting(Priority),
    Queued(Priority),
    /// Has a permit and claims the lease to read.
    ClaimingRead,
    Reading,
    Unregistering,
    Ended,
}

impl State {
    /// `is_queued` says whether the poll was registered with a ticket in the queue; no read begins
    /// before `earliest`.
    pub fn new(
        settings: StateSettings,
        start: Start,
        earliest: Option<Instant>,
        is_queued: bool,
        rng: fastrand::Rng,
        now: Instant,
    ) -> Self {
        let known = Known::new(start);
        let not_before = known.stale_at(settings.pending_ttl).into_iter().chain(earliest).fold(now, Instant::max);
        Self {
            settings,
            started: now,
            phase: Phase::Starting,
            known,
            not_before,
            attempts: 0,
            failures: 0,
            is_subscribed: true,
            is_stopping: false,
            is_queued,
            is_leased: false,
            next_look: None,
            rng,
            actions: Vec::new(),
        }
    }

    pub const fn started(&self) -> Instant {
        self.started
    }

    pub const fn is_subscribed(&self) -> bool {
        self.is_subscribed
    }

    pub const fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    pub fn is_reading(&self) -> bool {
        self.phase == Phase::Reading
    }

    /// Returns what the poll task has to do after an event.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match (event, self.phase) {
            (_, Phase::Ended) => {}
            (Event::Started, _) => self.schedule(now),
            (Event::CacheHit(answer), _) => self.end(LastResponse::Cached(answer)),
            (Event::Time, _) => self.on_time(now),
            (Event::SubscribersChanged { any }, phase) => {
                self.is_subscribed = any;
                if phase.is_waiting() || phase == Phase::Unregistering {
                    self.reschedule(now);
                }
            }
            (Event::Remote(remote), Phase::Waiting(need) | Phase::Queued(need)) => match self.take_over(remote) {
                Update::Nothing => self.next_look = Some(now + self.known.look_period(need)),
                Update::Status => self.reschedule(now),
                Update::End => {}
            },
            (Event::PermitGranted, Phase::Queued(_)) => self.on_permit(),
            (Event::LeaseGranted(remote), _) => self.on_claim(true, remote, now),
            (Event::LeaseDenied(remote), _) => self.on_claim(false, remote, now),
            (Event::LeaseLost, _) => self.is_leased = false,
            (Event::ReadResult(Ok(read)), Phase::Reading) => self.on_read(read, now),
            (Event::ReadResult(Err(error)), Phase::Reading) => self.on_failure(error, now),
            (Event::ReadAborted, Phase::Reading) => self.shut_down(),
            (Event::Shutdown, phase) => {
                self.is_stopping = true;
                if phase.is_waiting() {
                    self.shut_down();
                }
            }
            (Event::Unregistered, _) => self.finish(),
            (Event::PermitGranted, _) => self.actions.push(Action::PassOnPermit),
            (Event::Remote(_) | Event::ReadResult(_) | Event::ReadAborted, _) => {}
        }
        if let Some(time) = self.wake_time() {
            self.actions.push(Action::WaitUntil(time));
        }
        std::mem::take(&mut self.actions)
    }

    fn shut_down(&mut self) {
        self.end(LastResponse::Error(Error::new(Reason::ShuttingDown)));
    }

    fn end(&mut self, last: LastResponse) {
        if self.phase == Phase::ClaimingRead {
            self.actions.push(Action::PassOnPermit);
        }
        self.leave_queue();
        self.actions.push(Action::Publish(Publication::Last(Box::new(last))));
        self.finish();
    }

    fn finish(&mut self) {
        self.release(Release::Nothing);
        self.phase = Phase::Ended;
        self.actions.push(Action::End);
    }

    fn leave_queue(&mut self) {
        if std::mem::take(&mut self.is_queued) {
            self.actions.push(Action::LeaveQueue);
        }
    }

    /// Releases the lease. What was read is published even if the lease was lost.
    fn release(&mut self, release: Release) {
        let is_leased = std::mem::take(&mut self.is_leased);
        if is_leased || (self.settings.is_shared && !matches!(release, Release::Nothing)) {
            self.actions.push(Action::Release(release));
        }
    }
}

impl Phase {
    /// Returns whether nothing is under way that a shutdown or a change of subscribers must await.
    const fn is_waiting(self) -> bool {
        matches!(self, Self::Denied | Self::Waiting(_) | Self::Queued(_))
    }
}

#[cfg(test)]
mod tests;
