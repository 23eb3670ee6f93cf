//! How calls are recorded: metrics, span and log lines, once for each call of the RPC.

use super::{
    access_log::Log,
    admission::MESSAGE_TIMEOUT,
    deadline::{self, Deadline},
    metrics::ResponseMetrics,
    response::Response,
    valid_request::ValidRequest,
};
use crate::{
    client::Caller,
    config::AccessLog,
    error::{Context, Error, Reason},
    session::SessionRefKey,
    telemetry::spans,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;
use tonic::{Status, codegen::http::HeaderMap};
use tracing::Span;

/// What the headers of a call say. The call's request has it in its extensions, as `Arc<Call>`.
pub struct Call {
    pub caller: Caller,
    pub arrival: Instant,
    /// The caller's timeout from the headers on.
    pub timeout: Option<Duration>,
    pub span: Span,
    is_recorded: AtomicBool,
}

impl Call {
    pub fn new(caller: Caller, headers: &HeaderMap, arrival: Instant) -> Self {
        let timeout = deadline::timeout(headers);
        Self { caller, arrival, timeout, span: spans::call(headers), is_recorded: AtomicBool::new(false) }
    }

    /// Returns the time by which the message must arrive.
    pub fn message_by(&self) -> Instant {
        self.deadline().answer_by().min(self.arrival + MESSAGE_TIMEOUT)
    }

    /// Returns the error of a call whose message did not arrive in time.
    pub fn late(&self) -> Error {
        match self.deadline().answer_by() < self.arrival + MESSAGE_TIMEOUT {
            true => Error::new(Reason::DeadlineExceeded),
            false => Error::late("request", MESSAGE_TIMEOUT),
        }
    }

    /// Whether [`Recorder::record`] has recorded how the call ended.
    pub fn is_recorded(&self) -> bool {
        self.is_recorded.load(Relaxed)
    }

    /// The deadline of a call without a wait: its message is not known yet.
    fn deadline(&self) -> Deadline {
        Deadline::of(self.timeout, self.arrival, Duration::ZERO)
    }
}

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
    pub fn record(&self, call: &Call, valid: Option<&ValidRequest>, end: &Result<Response, Error>) {
        match end {
            Ok(response) => {
                self.0.metrics.results(response.message.source, response.status_number()).inc();
                spans::record_response(&call.span, response.status_name(), response.source_name());
            }
            Err(error) => {
                self.count(error);
                spans::record_error(&call.span, error);
            }
        }
        self.0.log.tell(&call.caller, valid, call.arrival, end);
        call.is_recorded.store(true, Relaxed);
    }

    /// Records a call that was rejected before its message had arrived, and returns its status.
    pub fn reject(&self, call: &Call, error: Error) -> Status {
        let status = self.status(&error, "", call.deadline());
        self.record(call, None, &Err(error));
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
