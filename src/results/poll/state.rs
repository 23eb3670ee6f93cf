//! The poll of one session as a pure state machine: events in, actions out.
//!
//! It does no I/O, takes no lock and reads no clock. It alone decides about a session that is
//! polled; the cache and the subscribers get copies of its status.
//!
//! ```text
//!            not shared, or read before
//! Starting ─────────────────────────────► Waiting ──► Queued ──► ClaimingRead ──► Reading
//!    │                                     ▲ ▲ ▲   due      permit     lease        │
//!    └─► ClaimingQueue ────────────────────┘ │ └────────────────────────────────────┘
//!          ▲   │ denied           granted    │             pending, or failed
//!          │   ▼                             │
//!         Denied                             └── from ClaimingRead, when it is denied
//! ```
//!
//! Without a shared cache, Queued leads to Reading. A final result leads to Ended; so does a
//! permanent error if there is nothing to capture, and a shutdown after the operation in progress.
//! A poll without subscribers that has nothing to capture is unregistered and ends.

mod event;
mod lease;
mod read_result;
mod schedule;

pub use event::{Action, Event, LastResponse, ReadResult};

use super::last_read::LastRead;
use crate::{
    error::{Error, Reason},
    results::{
        coordinator::{ClaimTo, Release},
        priority::Priority,
    },
};
use std::time::Duration;
use tokio::time::Instant;

/// The settings of one poll.
#[derive(Clone, Copy)]
pub struct StateSettings {
    /// The age up to which a status is current, and the least time between two reads.
    pub pending_ttl: Duration,
    /// Whether a pending session without subscribers is still polled.
    pub capture: bool,
    /// Whether replicas share what they read of this session.
    pub is_shared: bool,
    /// Whether there is a rate limiter.
    pub is_limited: bool,
}

pub struct State {
    pub started: Instant,
    pub is_subscribed: bool,
    pub is_stopping: bool,
    /// When the first of the present subscribers came.
    subscribed_at: Instant,
    settings: StateSettings,
    phase: Phase,
    last_read: LastRead,
    /// No read begins before.
    not_before: Instant,
    /// Failed attempts of the current read, and reads in a row whose attempts all failed.
    attempts: u32,
    failures: u32,
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
    /// No read begins before `not_before`.
    pub fn new(
        settings: StateSettings,
        last_read: LastRead,
        not_before: Option<Instant>,
        rng: fastrand::Rng,
        now: Instant,
    ) -> Self {
        let stale_at = match &last_read {
            LastRead::Pending(result) | LastRead::Final(result) => result.read_at + settings.pending_ttl,
            LastRead::Never | LastRead::NotFound => now,
        };
        Self {
            started: now,
            is_subscribed: true,
            is_stopping: false,
            subscribed_at: now,
            settings,
            phase: Phase::Starting,
            last_read,
            not_before: not_before.unwrap_or(now).max(stale_at).max(now),
            attempts: 0,
            failures: 0,
            is_leased: false,
            next_look: None,
            rng,
            actions: Vec::new(),
        }
    }

    pub fn is_reading(&self) -> bool {
        self.phase == Phase::Reading
    }

    /// Returns since when subscribers have waited for the end of the session: since the last
    /// pending read, or since they came. None if there are none, or the session was never pending.
    pub fn waiting_since(&self) -> Option<Instant> {
        let LastRead::Pending(result) = &self.last_read else { return None };
        self.is_subscribed.then(|| result.read_at.max(self.subscribed_at))
    }

    /// Returns what the poll task has to do after an event.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match (event, self.phase) {
            (_, Phase::Ended) => {}
            (Event::Started, _) => self.schedule(now),
            (Event::Time, _) => self.on_time(now),
            (Event::SubscribersChanged { any }, phase) => {
                (self.is_subscribed, self.subscribed_at) = (any, now);
                if phase.is_waiting() || phase == Phase::Unregistering {
                    self.reschedule(now);
                }
            }
            (Event::Remote(remote), Phase::Waiting(priority) | Phase::Queued(priority)) => {
                match self.take_over(remote, now) {
                    true => self.reschedule(now),
                    false => self.next_look = Some(now + self.last_read.look_period(priority)),
                }
            }
            (Event::PermitGranted, Phase::Queued(_)) if self.settings.is_shared => {
                self.phase = Phase::ClaimingRead;
                self.actions.push(Action::Claim(ClaimTo::Read));
            }
            (Event::PermitGranted, Phase::Queued(_)) => self.read(),
            (Event::PermitGranted, _) => self.actions.push(Action::PassOnPermit),
            (Event::Displaced(error), _) => self.end(LastResponse::Error(error)),
            (Event::Claimed(claim), phase) => self.on_claim(claim, phase, now),
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
            (Event::Remote(_) | Event::ReadResult(_) | Event::ReadAborted, _) => {}
        }
        self.actions.extend(self.wake_time().map(Action::WaitUntil));
        std::mem::take(&mut self.actions)
    }

    fn read(&mut self) {
        self.phase = Phase::Reading;
        self.actions.push(Action::Read);
    }

    fn shut_down(&mut self) {
        self.end(LastResponse::Error(Error::new(Reason::ShuttingDown)));
    }

    fn end(&mut self, last: LastResponse) {
        if self.phase == Phase::ClaimingRead {
            self.actions.push(Action::PassOnPermit);
        }
        self.actions.extend([Action::LeaveQueue, Action::PublishLast(Box::new(last))]);
        self.finish();
    }

    fn finish(&mut self) {
        self.release(Release::Nothing);
        self.phase = Phase::Ended;
        self.actions.push(Action::End);
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
    /// Returns whether a shutdown or a change of subscribers takes effect at once.
    const fn is_waiting(self) -> bool {
        matches!(self, Self::Denied | Self::Waiting(_) | Self::Queued(_))
    }
}

#[cfg(test)]
mod tests;
