//! How replicas share the reads of one session: one of them has the lease, the others take over
//! what it read.

use super::{Action, LastResponse, Phase, Publication, State, known::LOOK_PERIOD};
use crate::{
    error::{Error, Reason},
    results::{
        coordinator::{ClaimTo, Release, RemoteState},
        priority::Priority,
    },
};
use std::sync::Arc;
use tokio::time::Instant;

/// What another replica's knowledge changes.
#[derive(PartialEq)]
pub(super) enum Update {
    Nothing,
    Status,
    /// The poll has ended.
    End,
}

impl State {
    pub(super) fn on_permit(&mut self) {
        self.is_queued = false;
        if self.settings.is_shared {
            self.phase = Phase::ClaimingRead;
            self.actions.push(Action::Claim(ClaimTo::Read));
        } else {
            self.read();
        }
    }

    fn read(&mut self) {
        self.phase = Phase::Reading;
        self.actions.push(Action::Read);
    }

    pub(super) fn on_claim(&mut self, is_granted: bool, remote: RemoteState, now: Instant) {
        self.is_leased = is_granted;
        let update = self.take_over(remote);
        match self.phase {
            _ if update == Update::End => {}
            Phase::ClaimingQueue if update == Update::Status || self.is_stopping || !self.is_subscribed => {
                self.reschedule(now);
            }
            Phase::ClaimingQueue if is_granted => self.wait(Priority::FirstRead, now),
            Phase::ClaimingQueue => {
                self.leave_queue();
                self.phase = Phase::Denied;
                self.next_look = Some(now + LOOK_PERIOD);
            }
            // Another replica may have read the session just now.
            Phase::ClaimingRead if is_granted && self.not_before <= now => self.read(),
            Phase::ClaimingRead => {
                self.actions.push(Action::PassOnPermit);
                if !is_granted {
                    self.not_before = self.not_before.max(now + LOOK_PERIOD);
                }
                self.release(Release::Nothing);
                self.schedule(now);
            }
            _ => {}
        }
    }

    /// Takes over what another replica has read.
    pub(super) fn take_over(&mut self, remote: RemoteState) -> Update {
        match remote {
            // A replica's clock may be behind, so a status is new if its time differs.
            RemoteState::Pending(outcome) if self.known.read_time() != Some(outcome.read_time) => {
                let outcome = Arc::new(outcome);
                self.set_pending(&outcome);
                self.actions.push(Action::Publish(Publication::Pending(outcome)));
                return Update::Status;
            }
            RemoteState::Pending(_) | RemoteState::Unknown => return Update::Nothing,
            RemoteState::Final(outcome) => self.end(LastResponse::RemoteFinal(outcome)),
            RemoteState::NotFound => self.end(LastResponse::NotFound(Error::new(Reason::SessionNotFound))),
        }
        Update::End
    }
}
