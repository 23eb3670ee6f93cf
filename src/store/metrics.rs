//! The metrics of the connection to the shared cache.

use crate::telemetry::metrics::Registry;
use prometheus::{Histogram, IntCounterVec, IntGauge, Opts};

/// The operations, as the label `operation` names them.
pub const OPERATIONS: [&str; 5] = ["lookup", "save", "lease", "quota", "probe"];

/// How an operation ends, as the label `outcome` names it. `skipped`: the circuit breaker is open.
const OUTCOMES: [&str; 6] = ["ok", "skipped", "timeout", "lost", "read_only", "refused"];

const SECONDS: &[f64] = &[0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

#[derive(Clone)]
pub struct StoreMetrics {
    pub operations: IntCounterVec,
    pub seconds: Histogram,
    pub up: IntGauge,
}

impl StoreMetrics {
    pub fn new(registry: &Registry) -> Self {
        let operations =
            Opts::new("face_liveness_shared_cache_operations_total", "Operations on the shared cache, by outcome.");
        let operations = registry.register(IntCounterVec::new(operations, &["operation", "outcome"]));
        for operation in OPERATIONS {
            for outcome in OUTCOMES {
                operations.with_label_values(&[operation, outcome]);
            }
        }
        Self {
            operations,
            seconds: registry.histogram(
                "face_liveness_shared_cache_seconds",
                "Duration of operations on the shared cache, including timeouts, in seconds.",
                SECONDS,
            ),
            up: registry.gauge(
                "face_liveness_shared_cache_up",
                "Whether the shared cache accepts reads and writes: 1 or 0; 0 without one.",
            ),
        }
    }
}
