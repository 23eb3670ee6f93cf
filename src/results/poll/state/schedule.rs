//! When a poll reads next, and with which priority.

use super::{Action, Known, Phase, State};
use crate::results::{coordinator::ClaimTo, priority::Priority, session_result::AWS_LIFETIME};
use std::time::Duration;
use tokio::time::Instant;

/// The time between two reads of a session without subscribers. AWS keeps a result for three
/// minutes after the session's creation, so a late one may be readable for only this long.
pub(super) const CAPTURE_PERIOD: Duration = Duration::from_secs(5);

impl State {
    /// Decides what the next read is for, and waits for it.
    pub(super) fn schedule(&mut self, now: Instant) {
        if self.is_stopping {
            return self.shut_down();
        }
        match self.need(now) {
            None => {
                self.phase = Phase::Unregistering;
                self.actions.push(Action::Unregister);
            }
            Some(Priority::FirstRead) if self.settings.is_shared => {
                self.phase = Phase::ClaimingQueue;
                self.actions.push(Action::Claim(ClaimTo::Queue));
            }
            Some(need) => self.wait(need, now),
        }
    }

    /// The same after a change that makes the ticket in the queue obsolete.
    pub(super) fn reschedule(&mut self, now: Instant) {
        self.leave_queue();
        self.schedule(now);
    }

    pub(super) fn wait(&mut self, need: Priority, now: Instant) {
        self.next_look = self.settings.is_shared.then(|| now + self.known.look_period(need));
        self.phase = Phase::Waiting(need);
        if self.due(need) <= now {
            self.enqueue(need);
        }
    }

    pub(super) fn enqueue(&mut self, need: Priority) {
        self.phase = Phase::Queued(need);
        self.is_queued = true;
        self.actions.push(Action::Enqueue(need));
    }

    pub(super) fn on_time(&mut self, now: Instant) {
        let is_over = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        let (Phase::Denied | Phase::Waiting(_) | Phase::Queued(_)) = self.phase else { return };
        if is_over(self.capture_end()) || (self.phase == Phase::Denied && is_over(self.next_look)) {
            return self.reschedule(now);
        }
        if is_over(self.next_look) {
            self.next_look = None;
            self.actions.push(Action::Look);
        }
        if let Phase::Waiting(need) = self.phase
            && self.due(need) <= now
        {
            self.enqueue(need);
        }
    }

    /// Returns what the next read is for; None if the session is not to be read.
    pub(super) fn need(&self, now: Instant) -> Option<Priority> {
        match (self.is_subscribed, self.known.urgency(self.started)) {
            (true, None) => Some(Priority::FirstRead),
            (true, Some(urgency)) => Some(Priority::ReRead(urgency)),
            (false, _) => (self.is_captured() && now < self.started + AWS_LIFETIME).then_some(Priority::Capture),
        }
    }

    /// Returns whether the session is read on without subscribers. An id that AWS never knew is
    /// not: anybody could invent it.
    pub(super) fn is_captured(&self) -> bool {
        self.settings.capture && matches!(self.known, Known::Pending(_))
    }

    pub(super) fn due(&self, need: Priority) -> Instant {
        match (need, self.known.urgency(self.started)) {
            (Priority::Capture, Some(urgency)) => self.not_before.max(urgency.last_read() + CAPTURE_PERIOD),
            _ => self.not_before,
        }
    }

    /// Returns when a capture ends at the latest.
    pub(super) fn capture_end(&self) -> Option<Instant> {
        let (Phase::Waiting(need) | Phase::Queued(need)) = self.phase else { return None };
        (need == Priority::Capture).then(|| self.started + AWS_LIFETIME)
    }

    pub(super) fn wake_time(&self) -> Option<Instant> {
        let due = match self.phase {
            Phase::Denied | Phase::Queued(_) => None,
            Phase::Waiting(need) => Some(self.due(need)),
            _ => return None,
        };
        [due, self.next_look, self.capture_end()].into_iter().flatten().min()
    }
}
