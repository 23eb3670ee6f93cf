//! Performs the actions of the state machine and checks them.

use super::{Operation, Property, World};
use crate::results::poll::{
    state::{Action, LastResponse},
    subscription::Recipients,
};

impl World {
    pub(super) fn perform(&mut self, action: Action) {
        self.check(Property::FinalEnds, !self.has_ended, "an action after the end");
        match action {
            Action::Enqueue(_) => (self.has_ticket, self.is_ready) = (true, true),
            Action::LeaveQueue => (self.has_ticket, self.is_ready) = (false, false),
            Action::Claim(to) => self.begin(Operation::Claim(to)),
            Action::Look => self.begin(Operation::Look),
            Action::Read => {
                self.check(Property::NotBefore, self.now >= self.not_before, "a read before it is due");
                self.check(Property::OneRead, self.has_permit, "a read without a permit");
                let is_leased = self.is_leased || !self.settings.is_shared;
                self.check(Property::OneRead, is_leased, "a read without the lease");
                self.has_permit = false;
                self.begin(Operation::Read);
            }
            Action::PassOnPermit => self.has_permit = false,
            Action::Release(_) => self.is_leased = false,
            Action::PublishPending(_) => self.publish("pending", Recipients::WithoutWait),
            Action::PublishFailure(failure) => self.publish("failure", failure.recipients),
            Action::PublishLast(last) => {
                self.responses += 1;
                self.check(Property::OneResponse, self.responses == 1, "a second last response");
                self.publish(
                    match *last {
                        LastResponse::NotFound(_) | LastResponse::Error(_) => "error",
                        LastResponse::Final(_) | LastResponse::RemoteFinal(_) | LastResponse::Images(..) => "final",
                    },
                    Recipients::All,
                );
            }
            Action::WaitUntil(time) => self.wake_time = Some(time),
            Action::End => self.end(),
            Action::ReportThrottled | Action::CacheError(..) | Action::Unregister => {}
        }
    }

    fn begin(&mut self, operation: Operation) {
        let is_reading = self.operation == Some(Operation::Read);
        self.check(Property::OneRead, !is_reading, "an operation during a read");
        self.operation = Some(operation);
    }

    fn publish(&mut self, name: &'static str, recipients: Recipients) {
        self.published.push(name);
        for subscriber in self.subscribers.iter_mut().filter(|subscriber| subscriber.is_present()) {
            let is_recipient = if subscriber.waits { Recipients::All } else { Recipients::WithoutWait } <= recipients;
            subscriber.responses += u32::from(is_recipient);
        }
    }

    fn end(&mut self) {
        self.has_ended = true;
        let is_reading = self.operation == Some(Operation::Read);
        self.check(Property::ShutdownLosesNothing, !is_reading, "the end drops a read");
        let property = if self.is_stopping { Property::ShutdownLosesNothing } else { Property::FinalEnds };
        self.check(property, !self.has_ticket, "a ticket stays in the queue after the end");
        self.check(property, !self.has_permit, "the end loses a permit");
        self.check(property, !self.is_leased, "the lease is not released");
    }
}
