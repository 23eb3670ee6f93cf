//! A call of the RPC, and the limits of its request message.

use super::deadline::{self, Deadline};
use crate::{client::Caller, telemetry::spans};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;
use tonic::codegen::http::HeaderMap;
use tracing::Span;

/// The largest request message. A request has an id and three small fields.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024;

/// How long the request message may take from its headers on. A message is a few hundred bytes, in
/// the same packet as its headers.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

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

    /// Notes that the end of the call is recorded.
    pub fn mark_recorded(&self) {
        self.is_recorded.store(true, Relaxed);
    }

    /// Returns whether the end of the call is recorded.
    pub fn is_recorded(&self) -> bool {
        self.is_recorded.load(Relaxed)
    }

    /// Returns the deadline without the call's `wait`, which is in its message.
    pub fn deadline(&self) -> Deadline {
        Deadline::of(self.timeout, self.arrival, Duration::ZERO)
    }
}
