//! The metrics of one call.

use super::metrics::MethodMetrics;
use std::sync::Arc;
use tokio::time::Instant;

/// gRPC codes by number.
pub const OK: i32 = 0;
pub const CANCELLED: i32 = 1;

/// Counts how a call ends. One that is dropped before its end was cancelled by its caller.
#[derive(Default)]
pub struct CallCount {
    calls: Option<(Arc<MethodMetrics>, Instant)>,
}

impl CallCount {
    pub fn of(calls: &Arc<MethodMetrics>, arrival: Instant) -> Self {
        calls.started.inc();
        Self { calls: Some((Arc::clone(calls), arrival)) }
    }

    pub fn is_of_stream(&self) -> bool {
        self.calls.as_ref().is_some_and(|(calls, _)| calls.is_stream)
    }

    /// Counts the call as ended with this code, once.
    pub fn end(&mut self, code: i32) {
        if let Some((calls, started)) = self.calls.take() {
            calls.handled(code).inc();
            calls.seconds.observe(started.elapsed().as_secs_f64());
        }
    }
}

impl Drop for CallCount {
    fn drop(&mut self) {
        self.end(CANCELLED);
    }
}
