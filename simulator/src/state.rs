//! What the endpoint and the control API share.

use std::time::Duration;

use crate::{fault::Faults, quota::Quota, request_counts::RequestCounts, sessions::Sessions};

pub(crate) struct State {
    pub latency: Duration,
    pub sessions: Sessions,
    pub faults: Faults,
    pub quota: Quota,
    pub counts: RequestCounts,
}

impl State {
    /// Removes all sessions, faults and counts, and refills the quota. Returns the number of
    /// sessions and of faults. Requests in flight are not affected.
    pub fn reset(&self) -> (usize, usize) {
        self.quota.reset();
        self.counts.reset();
        (self.sessions.clear(), self.faults.clear())
    }
}
