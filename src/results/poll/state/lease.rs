//! How replicas share the reads of one session: one of them has the lease, and the others take over
//! what it read.

use super::{Action, LastRead, LastResponse, Phase, State};
use crate::{
    error::{Error, Reason},
    results::{
        coordinator::{Claim, Release, RemoteState},
        poll::{last_read::LOOK_PERIOD, subscription::Recipients},
        priority::Priority,
    },
};
use std::sync::Arc;
use tokio::time::Instant;

impl State {
    pub(super) fn on_claim(&mut self, claim: Claim, phase: Phase, now: Instant) {
        self.is_leased = claim.is_granted;
        let is_new = self.take_over(claim.remote, now);
        match phase {
            _ if self.phase == Phase::Ended => {}
            Phase::ClaimingQueue if is_new || self.is_stopping || !self.is_subscribed => self.reschedule(now),
            Phase::ClaimingQueue if claim.is_granted => self.wait(Priority::FirstRead, now),
            Phase::ClaimingQueue => {
                self.actions.push(Action::LeaveQueue);
                self.phase = Phase::Denied;
                self.next_look = Some(now + LOOK_PERIOD);
            }
            // Another replica may have read the session just now.
            Phase::ClaimingRead if claim.is_granted && self.not_before <= now => self.read(),
            Phase::ClaimingRead => {
                self.actions.push(Action::PassOnPermit);
                if !claim.is_granted {
                    self.not_before = self.not_before.max(now + LOOK_PERIOD);
                }
                self.release(Release::Nothing);
                self.schedule(now);
            }
            _ => {}
        }
    }

    /// Takes over what another replica has read. Returns whether that changes the next read: a new
    /// pending status, or a NotFound. A final result and a current NotFound end the poll.
    pub(super) fn take_over(&mut self, remote: RemoteState, now: Instant) -> bool {
        match remote {
            RemoteState::Unknown => {}
            RemoteState::Pending(result) => {
                // A replica's clock may be behind, so a status is new if its time differs.
                let is_new =
                    !matches!(&self.last_read, LastRead::Pending(known) if known.read_time == result.read_time);
                if is_new {
                    self.set_pending(Arc::new(result));
                }
                return is_new;
            }
            RemoteState::Final(result) => self.end(LastResponse::RemoteFinal(result)),
            RemoteState::WasNotFound => {
                let is_new = matches!(self.last_read, LastRead::Never);
                if is_new {
                    self.last_read = LastRead::NotFound;
                    // What a subscriber gets that cannot wait for the read.
                    self.publish_failure(Error::new(Reason::SessionNotFound), Recipients::None, now);
                }
                return is_new;
            }
            RemoteState::NotFound => self.end(LastResponse::NotFound(Error::new(Reason::SessionNotFound))),
        }
        false
    }
}
