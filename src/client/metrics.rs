//! The metrics of clients at the limits of this server.

use crate::{config::NamePattern, telemetry::metrics::Registry};
use prometheus::{IntCounter, IntCounterVec, Opts};

/// The client in the metrics if `--allowed-clients` does not list it.
const OTHER: &str = "other";

/// A limit that a request was rejected at, as the label `limit` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientLimit {
    Requests,
    Connections,
    ImageBudget,
    Quota,
}

const LIMITS: [&str; 4] = ["requests", "connections", "image_budget", "quota"];

/// The rejected requests of one client by limit.
pub type Rejections = [IntCounter; LIMITS.len()];

/// Registers the rejected requests of each entry of `allowed`, and of all other clients.
pub fn rejections(allowed: &[NamePattern], registry: &Registry) -> Vec<Rejections> {
    let rejected = Opts::new(
        "face_liveness_client_rejections_total",
        "Requests that were rejected at a limit, by limit and by entry of --allowed-clients.",
    );
    let rejected = registry.register(IntCounterVec::new(rejected, &["client", "limit"]));
    let names = allowed.iter().map(NamePattern::to_string).chain([OTHER.to_owned()]);
    names.map(|client| LIMITS.map(|limit| rejected.with_label_values(&[&client, limit]))).collect()
}
