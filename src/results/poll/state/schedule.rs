//! When a poll reads next, and with which priority.

use super::{Action, LastRead, Phase, State};
use crate::results::{coordinator::ClaimTo, priority::Priority, session_result::AWS_LIFETIME};
use std::time::Duration;
use tokio::time::Instant;

/// The time between two reads of a session without subscribers. AWS keeps a result for three
/// minutes after the session's creation, so a late one may be available for only this long.
pub(super) const CAPTURE_PERIOD: Duration = Duration::from_secs(5);

impl State {
    /// Schedules the next read, or ends the poll.
    pub(super) fn schedule(&mut self, now: Instant) {
        if self.is_stopping {
            return self.shut_down();
        }
        match self.priority(now) {
            None => {
                self.phase = Phase::Unregistering;
                self.actions.push(Action::Unregister);
            }
            Some(Priority::FirstRead) if self.settings.is_shared => {
                self.phase = Phase::ClaimingQueue;
                self.actions.push(Action::Claim(ClaimTo::Queue));
            }
            Some(priority) => self.wait(priority, now),
        }
    }

    /// Leaves the queue, since the priority may have changed, and schedules the next read.
    pub(super) fn reschedule(&mut self, now: Instant) {
        self.actions.push(Action::LeaveQueue);
        self.schedule(now);
    }

    pub(super) fn wait(&mut self, priority: Priority, now: Instant) {
        self.next_look = self.settings.is_shared.then(|| now + self.last_read.look_period(priority));
        self.phase = Phase::Waiting(priority);
        if self.due(priority) <= now {
            self.enqueue(priority);
        }
    }

    fn enqueue(&mut self, priority: Priority) {
        self.phase = Phase::Queued(priority);
        self.actions.push(Action::Enqueue(priority));
    }

    pub(super) fn on_time(&mut self, now: Instant) {
        let is_over = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if !self.phase.is_waiting() {
            return;
        }
        if is_over(self.capture_end()) || (self.phase == Phase::Denied && is_over(self.next_look)) {
            return self.reschedule(now);
        }
        if is_over(self.next_look) {
            self.next_look = None;
            self.actions.push(Action::Look);
        }
        if let Phase::Waiting(priority) = self.phase
            && self.due(priority) <= now
        {
            self.enqueue(priority);
        }
    }

    /// Returns the priority of the next read. None ends the poll.
    fn priority(&self, now: Instant) -> Option<Priority> {
        if self.is_subscribed {
            return Some(self.last_read.priority(self.started));
        }
        (self.is_captured() && now < self.started + AWS_LIFETIME).then_some(Priority::Capture)
    }

    /// Returns whether the session is polled without subscribers. An id that AWS never knew is not:
    /// any client could invent it.
    pub(super) fn is_captured(&self) -> bool {
        self.settings.capture && matches!(self.last_read, LastRead::Pending(_))
    }

    fn due(&self, priority: Priority) -> Instant {
        match (priority, &self.last_read) {
            (Priority::Capture, LastRead::Pending(result)) => self.not_before.max(result.read_at + CAPTURE_PERIOD),
            _ => self.not_before,
        }
    }

    /// Returns when a capture ends at the latest.
    fn capture_end(&self) -> Option<Instant> {
        let (Phase::Waiting(priority) | Phase::Queued(priority)) = self.phase else { return None };
        (priority == Priority::Capture).then(|| self.started + AWS_LIFETIME)
    }

    /// Returns when the poll needs the next [`super::Event::Time`].
    pub(super) fn wake_time(&self) -> Option<Instant> {
        let due = match self.phase {
            Phase::Denied | Phase::Queued(_) => None,
            Phase::Waiting(priority) => Some(self.due(priority)),
            _ => return None,
        };
        [due, self.next_look, self.capture_end()].into_iter().flatten().min()
    }
}
