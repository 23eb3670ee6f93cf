//! Records each call of the RPC once: metrics, span and log lines.

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

/// A call of the RPC, as known from its headers. Its request has it in its extensions, as
/// `Arc<Call>`.
pub struct Call {
    pub caller: Caller,
    pub arrival: Instant,
    /// The caller's timeout from the headers on.
    pub timeout: Option<Duration>,
    pub span: Span,
    has_message: AtomicBool,
    is_recorded: AtomicBool,
}

impl Call {
    pub fn new(caller: Caller, headers: &HeaderMap, arrival: Instant) -> Self {
        Self {
            caller,
            arrival,
            timeout: deadline::timeout(headers),
            span: spans::call(headers),
            has_message: AtomicBool::new(false),
            is_recorded: AtomicBool::new(false),
        }
    }

    /// Notes that the request message has arrived.
    pub fn message_arrived(&self) {
        self.has_message.store(true, Relaxed);
    }

    /// Returns whether the request message has arrived.
    pub fn has_message(&self) -> bool {
        self.has_message.load(Relaxed)
    }

    /// Returns the time by which the message must arrive.
    pub fn message_by(&self) -> Instant {
        self.deadline().respond_by().min(self.arrival + MESSAGE_TIMEOUT)
    }

    /// Returns the error of a call whose message did not arrive in time.
    pub fn late(&self) -> Error {
        match self.deadline().respond_by() < self.arrival + MESSAGE_TIMEOUT {
            true => Error::new(Reason::DeadlineExceeded),
            false => Error::late("request", MESSAGE_TIMEOUT),
        }
    }

    /// Returns whether [`Recorder::record`] has recorded how the call ended.
    pub fn is_recorded(&self) -> bool {
        self.is_recorded.load(Relaxed)
    }

    /// Returns the deadline without the call's `wait`, which is in its message.
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
        self.0.log.log(&call.caller, valid, call.arrival, end);
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
