//! A turn of a poll: the wait until its session may be read, and for a token, and what may come between.

use super::{CAPTURE_PERIOD, Poll};
use crate::results::{
    limiter::{Need, Permit},
    outcome::AWS_LIFETIME,
    shared_cache::Known,
};

/// How a turn ended.
#[expect(clippy::large_enum_variant, reason = "a poll has one at a time")]
pub(super) enum Turn {
    Read(Option<Permit>),
    /// Another replica has read it.
    News(Known),
    /// It is wanted more or less than before.
    Reconsider,
    Stop,
}

impl Poll {
    /// Waits until the session may be read, and for a token.
    pub(super) async fn turn(&mut self, need: Need) -> Turn {
        let place = self.place.take();
        let due = match (need, self.urgency) {
            (Need::Capture, Some(urgency)) => self.not_before.max(urgency.last_read() + CAPTURE_PERIOD),
            _ => self.not_before,
        };
        let turn = async {
            tokio::time::sleep_until(due).await;
            if let Some(place) = &place {
                place.ready();
            }
            match &self.polls.limiter {
                Some(limiter) => {
                    let place = place.unwrap_or_else(|| limiter.queue(need));
                    let since = place.since;
                    let permit = place.granted().await;
                    self.polls.metrics.limiter_wait_seconds.observe(since.elapsed().as_secs_f64());
                    Some(permit)
                }
                None => None,
            }
        };
        tokio::select! {
            biased;
            () = self.polls.stopping.cancelled() => Turn::Stop,
            () = self.reconsidered(need) => Turn::Reconsider,
            known = self.news(need) => Turn::News(known),
            permit = turn => Turn::Read(permit),
        }
    }

    /// Completes when somebody comes to a session that nobody waited for, or the last who did has been gone for a while. Others who come or
    /// leave change nothing, and do not cost a first read its place in the queue.
    pub(super) async fn reconsidered(&self, need: Need) {
        let capture = need == Need::Capture;
        let too_late = async {
            match capture {
                true => tokio::time::sleep_until(self.started + AWS_LIFETIME).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.interest.turned(!capture) => {}
            () = too_late => {}
        }
    }
}
