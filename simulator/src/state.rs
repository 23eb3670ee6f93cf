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
