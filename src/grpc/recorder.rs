//! Records each call of the RPC once: metrics, span and log lines.

use super::{
    access_log::Log, call::Call, deadline::Deadline, metrics::ResponseMetrics, outcome::Outcome,
    valid_request::ValidRequest,
};
use crate::{
    config::AccessLog,
    error::{Context, Error},
    session::SessionRefKey,
    telemetry::spans,
};
use std::sync::Arc;
use tonic::Status;

/// Records how calls end. Cheap to clone.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    metrics: ResponseMetrics,
    log: Log,
    region: Option<String>,
}

impl Recorder {
    /// `region` is the AWS region that results are read from.
    pub fn new(
        metrics: ResponseMetrics,
        access_log: AccessLog,
        session_refs: Arc<SessionRefKey>,
        region: Option<String>,
    ) -> Self {
        Self(Arc::new(Inner { metrics, log: Log::new(access_log, session_refs), region }))
    }

    /// Records how a call ended.
    pub fn record(&self, call: &Call, valid: Option<&ValidRequest>, outcome: &Outcome<'_>) {
        match outcome {
            Outcome::Response(response) => {
                self.0.metrics.results(response.source.into(), response.status.into()).inc();
                self.0.metrics.verdicts(response.verdict).inc();
                spans::record_response(&call.span, response.status_name(), response.source.as_str_name());
            }
            Outcome::Cancelled(_) => spans::record_cancelled(&call.span),
            Outcome::Error(error, _) => {
                self.count(error);
                spans::record_error(&call.span, error);
            }
        }
        self.0.log.log(&call.caller, valid, call.arrival, outcome);
        call.mark_recorded();
    }

    /// Records a call that was rejected before its message had arrived, and returns its status.
    pub fn reject(&self, call: &Call, error: Error) -> Status {
        let status = self.status(&error, "", call.deadline());
        self.record(call, None, &Outcome::Error(&error, None));
        status
    }

    /// Counts a stream of another service that was rejected.
    pub fn count(&self, error: &Error) {
        self.0.metrics.errors.with_label_values(&[error.reason.name()]).inc();
    }

    /// Returns the status of a failed call.
    pub fn status(&self, error: &Error, session_id: &str, deadline: Deadline) -> Status {
        let region = self.0.region.as_deref();
        error.to_status(&Context { session_id, region, time_left: deadline.time_left() })
    }
}
