//! A model of everything around the state machine: AWS, the rate limiter, other replicas,
//! subscribers and the clock.

mod checks;

use super::steps::{ReadKind, RemoteKind, Setup, Step, result};
use crate::{
    error::{Error, Reason},
    proto::LivenessStatus,
    results::{
        coordinator::{Claim, ClaimTo, RemoteState},
        poll::{
            last_read::LastRead,
            state::{Action, Event, ReadResult, State, StateSettings},
        },
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

const PENDING_TTL: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Property {
    OneRead,
    NotBefore,
    OneResponse,
    FinalEnds,
    ShutdownLosesNothing,
    AbortEnds,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Claim(ClaimTo),
    Look,
    Read,
}

/// A caller attached to the poll.
struct Subscriber {
    waits: bool,
    hung_up: bool,
    responses: u32,
}

pub struct World {
    state: State,
    settings: StateSettings,
    now: Instant,
    wake_time: Option<Instant>,
    operation: Option<Operation>,
    has_ticket: bool,
    /// Whether the ticket may get a permit.
    is_ready: bool,
    has_permit: bool,
    is_leased: bool,
    is_stopping: bool,
    has_ended: bool,
    /// No read may begin before. Computed without the state machine.
    not_before: Instant,
    subscribers: Vec<Subscriber>,
    /// What was published since the last event.
    published: Vec<&'static str>,
    responses: u32,
    violations: Vec<(Property, String)>,
}

impl World {
    pub fn new(setup: &Setup) -> Self {
        // Later than the start of the clock, since statuses can be older than the poll.
        let now = Instant::now() + Duration::from_secs(60);
        let known = |status| Arc::new(result(status, now, 100));
        let (last_read, is_known) = match setup.start {
            0 => (LastRead::Never, false),
            1 => (LastRead::NotFound, false),
            2 => (LastRead::Pending(known(LivenessStatus::InProgress)), true),
            _ => (LastRead::Final(known(LivenessStatus::Succeeded)), true),
        };
        let settings = StateSettings {
            pending_ttl: PENDING_TTL,
            capture: setup.capture,
            is_shared: setup.is_shared && !matches!(last_read, LastRead::Final(_)),
            is_limited: setup.is_limited,
        };
        let has_ticket = setup.is_limited && setup.earliest_millis < 1_000 && matches!(last_read, LastRead::Never);
        let not_before = (!has_ticket).then(|| now + Duration::from_millis(setup.earliest_millis));
        let stale_at = is_known.then(|| now - Duration::from_millis(100) + PENDING_TTL);
        let mut world = Self {
            state: State::new(settings, last_read, not_before, fastrand::Rng::with_seed(setup.seed), now),
            settings,
            now,
            wake_time: None,
            operation: None,
            has_ticket,
            is_ready: false,
            has_permit: false,
            is_leased: false,
            is_stopping: false,
            has_ended: false,
            not_before: not_before.into_iter().chain(stale_at).fold(now, Instant::max),
            subscribers: vec![Subscriber { waits: true, hung_up: false, responses: 0 }],
            published: Vec::new(),
            responses: 0,
            violations: Vec::new(),
        };
        world.deliver(Event::Started);
        world
    }

    pub fn violations(self, property: Property) -> Vec<String> {
        self.violations
            .into_iter()
            .filter(|(of, _)| *of == property || is_shutdown(*of, property))
            .map(|(_, text)| text)
            .collect()
    }

    pub fn step(&mut self, step: &Step) {
        if self.has_ended {
            return;
        }
        match *step {
            Step::Advance(millis) => self.advance(self.now + Duration::from_millis(millis)),
            Step::Subscribe { waits } => {
                self.subscribers.push(Subscriber { waits, hung_up: false, responses: 0 });
                if !self.state.is_subscribed {
                    self.deliver(Event::SubscribersChanged { any: true });
                }
            }
            Step::HangUp(index) => {
                let index = index % self.subscribers.len();
                self.subscribers[index].hung_up = true;
            }
            Step::HangUpAll => {
                self.subscribers.iter_mut().for_each(|subscriber| subscriber.hung_up = true);
                self.step(&Step::GracePeriod);
            }
            Step::GracePeriod if self.state.is_subscribed && self.present() == 0 => {
                self.deliver(Event::SubscribersChanged { any: false });
            }
            Step::Permit if self.has_ticket && self.is_ready => {
                (self.has_ticket, self.is_ready, self.has_permit) = (false, false, true);
                self.deliver(Event::PermitGranted);
            }
            Step::Complete { is_granted, remote, read } => self.complete(is_granted, remote, read),
            Step::LoseLease if self.is_leased && self.operation == Some(Operation::Read) => {
                self.is_leased = false;
                self.deliver(Event::LeaseLost);
            }
            Step::GracePeriod | Step::Permit | Step::LoseLease => {}
        }
    }

    pub fn shut_down(&mut self) {
        self.is_stopping = true;
        if !self.has_ended {
            self.deliver(Event::Shutdown);
        }
    }

    /// Completes what is under way after a shutdown. The poll needs nothing else to end.
    pub fn drain(&mut self) {
        if !self.is_stopping {
            self.shut_down();
        }
        for _ in 0..3 {
            self.complete(true, RemoteKind::Unknown, ReadKind::Created);
        }
        self.check(Property::ShutdownLosesNothing, self.has_ended, "the poll continues after a shutdown");
        self.check_responses();
    }

    /// Aborts reads after a shutdown, as the poll task does when the drain period is over.
    pub fn abort_reads(&mut self) {
        if !self.is_stopping {
            self.shut_down();
        }
        for _ in 0..3 {
            if self.state.is_reading() {
                self.operation = None;
                self.deliver(Event::ReadAborted);
                self.check(Property::AbortEnds, self.has_ended, "the poll continues after its read was aborted");
                self.check(Property::AbortEnds, self.published == ["error"], "no response after an aborted read");
            }
            self.complete(true, RemoteKind::Unknown, ReadKind::Created);
        }
        self.check(Property::AbortEnds, self.has_ended, "the poll continues after a shutdown");
        let without = self.present();
        self.check(Property::AbortEnds, without == 0, "a subscriber got no response");
    }

    /// Lets the session become final.
    pub fn finish(&mut self) {
        for _ in 0..100 {
            self.step(&Step::Complete { is_granted: true, remote: RemoteKind::Unknown, read: ReadKind::Final });
            self.step(&Step::Permit);
            if let Some(time) = self.wake_time {
                self.advance(time);
            }
        }
        self.check_responses();
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.wake_time.is_some_and(|time| time <= self.now) && !self.has_ended {
            self.deliver(Event::Time);
        }
    }

    fn complete(&mut self, is_granted: bool, remote: RemoteKind, read: ReadKind) {
        let event = match self.operation.take() {
            None => return,
            Some(Operation::Claim(_)) => {
                self.is_leased = is_granted && !matches!(remote, RemoteKind::Final);
                Event::Claimed(Claim { is_granted: self.is_leased, remote: self.remote(remote) })
            }
            Some(Operation::Look) => Event::Remote(self.remote(remote)),
            Some(Operation::Read) => {
                if matches!(read, ReadKind::Created | ReadKind::InProgress) {
                    self.not_before = self.now + PENDING_TTL;
                }
                Event::ReadResult(self.read(read))
            }
        };
        let is_read = matches!(event, Event::ReadResult(Ok(_)));
        let is_final = match &event {
            Event::ReadResult(result) => matches!(result, Ok(read) if read.result.is_final()),
            _ => matches!(remote, RemoteKind::Final),
        };
        self.deliver(event);
        let published = format!("{:?}", self.published);
        if is_final {
            self.check(Property::FinalEnds, self.has_ended, "the poll continues after a final result");
            self.check(Property::FinalEnds, published.contains("final"), "a final result was not published");
        }
        if is_read && self.is_stopping {
            let is_published = published.contains("final") || published.contains("pending");
            self.check(Property::ShutdownLosesNothing, is_published, "a read result was not published");
        }
    }

    fn remote(&mut self, kind: RemoteKind) -> RemoteState {
        match kind {
            RemoteKind::Unknown => RemoteState::Unknown,
            RemoteKind::Pending(age) => {
                let result = result(LivenessStatus::InProgress, self.now, age);
                self.not_before = result.read_at + PENDING_TTL;
                RemoteState::Pending(result)
            }
            RemoteKind::Final => RemoteState::Final(result(LivenessStatus::Succeeded, self.now, 0)),
            RemoteKind::NotFound => RemoteState::NotFound,
            RemoteKind::WasNotFound => RemoteState::WasNotFound,
        }
    }

    fn read(&self, kind: ReadKind) -> Result<ReadResult, Error> {
        let status = match kind {
            ReadKind::Created => LivenessStatus::Created,
            ReadKind::InProgress => LivenessStatus::InProgress,
            ReadKind::Final => LivenessStatus::Succeeded,
            ReadKind::Error(reason) => return Err(Error::new(reason)),
            ReadKind::ClockOff => {
                let mut error = Error::new(Reason::UpstreamCredentials);
                error.is_corrected = true;
                return Err(error);
            }
        };
        Ok(ReadResult { result: result(status, self.now, 0), images: Default::default(), aws_request_id: None })
    }

    fn deliver(&mut self, event: Event) {
        self.published.clear();
        let mut next = Some(event);
        while let Some(event) = next.take() {
            self.wake_time = None;
            for action in self.state.handle(event, self.now) {
                if matches!(action, Action::Unregister) {
                    next = Some(match self.present() {
                        0 => Event::Unregistered,
                        _ => Event::SubscribersChanged { any: true },
                    });
                }
                self.perform(action);
            }
        }
        let is_waiting = self.operation.is_some() || self.is_ready || self.wake_time.is_some();
        self.check(Property::OneResponse, is_waiting || self.has_ended, "nothing will wake the poll");
    }

    fn check_responses(&mut self) {
        let without = self.present();
        self.check(Property::OneResponse, without == 0, "a subscriber got no response");
    }

    fn check(&mut self, property: Property, is_kept: bool, violation: &str) {
        if !is_kept {
            self.violations.push((property, violation.to_owned()));
        }
    }

    fn present(&self) -> usize {
        self.subscribers.iter().filter(|subscriber| subscriber.is_present()).count()
    }
}

/// Returns whether a violation of `of` counts for `property`: an aborted read is part of a
/// shutdown.
fn is_shutdown(of: Property, property: Property) -> bool {
    (of, property) == (Property::ShutdownLosesNothing, Property::AbortEnds)
}

impl Subscriber {
    const fn is_present(&self) -> bool {
        !self.hung_up && self.responses == 0
    }
}
