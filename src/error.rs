//! All errors of the service in one table, `Reason::row`: the gRPC code, message and retry delay of
//! each reason.
//!
//! Only [`Error::to_status`] creates a `Status`. Of AWS's response, an error contains the error
//! code and the request id: AWS's message contains ARNs, and its body may contain a face.

mod code;
mod status;

pub use status::Context;

use std::{fmt, time::Duration};
use tonic::Code;

/// The `domain` of every ErrorInfo (AIP-193).
pub const DOMAIN: &str = "face-liveness-facade";

/// The reason of an error: a row of the table. Its name is the `reason` of the ErrorInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    InvalidRequest,
    UpstreamInvalidParameter,
    SessionNotFound,
    SessionGone,
    UpstreamAccessDenied,
    ClientNotAllowed,
    ImagesNotAllowed,
    UpstreamThrottled,
    QuotaExhausted,
    Overloaded,
    ResponseNotRead,
    UpstreamUnavailable,
    UpstreamTimeout,
    UpstreamCredentials,
    ShuttingDown,
    DeadlineExceeded,
    UpstreamMalformed,
    Internal,
    UpstreamUnknown,
}

/// A row of the table.
struct Row {
    code: Code,
    name: &'static str,
    /// The delay before a retry, or None if a retry does not help.
    retry: Option<Duration>,
    message: &'static str,
}

impl Reason {
    /// The table. The delays estimate how long each failure lasts: throttling one second, a network
    /// error less, and invalid credentials until a refresh or an operator.
    #[rustfmt::skip]
    const fn row(self) -> Row {
        const fn row(code: Code, name: &'static str, retry: Option<u64>, message: &'static str) -> Row {
            let retry = match retry {
                Some(millis) => Some(Duration::from_millis(millis)),
                None => None,
            };
            Row { code, name, retry, message }
        }
        match self {
            Self::InvalidRequest => row(Code::InvalidArgument, "INVALID_REQUEST", None,
                "the request is malformed"),
            Self::UpstreamInvalidParameter => row(Code::InvalidArgument, "UPSTREAM_INVALID_PARAMETER", None,
                "AWS rejected the request as invalid"),
            Self::SessionNotFound => row(Code::NotFound, "SESSION_NOT_FOUND", None,
                "AWS does not know this Face Liveness session; AWS deletes sessions three minutes after their creation, and a wrong region or account has the same effect"),
            Self::SessionGone => row(Code::NotFound, "SESSION_GONE", None,
                "the Face Liveness session was pending, and AWS has deleted it since; create a new one"),
            // Not a code that clients retry: retries and other replicas use the same role.
            Self::UpstreamAccessDenied => row(Code::PermissionDenied, "UPSTREAM_ACCESS_DENIED", None,
                "the service's AWS role may not read Face Liveness results; ask its operator"),
            Self::ClientNotAllowed => row(Code::PermissionDenied, "CLIENT_NOT_ALLOWED", None,
                "this client may not read Face Liveness results"),
            Self::ImagesNotAllowed => row(Code::PermissionDenied, "IMAGES_NOT_ALLOWED", None,
                "this client may not read images; use RESULT_VIEW_BASIC"),
            Self::UpstreamThrottled => row(Code::ResourceExhausted, "UPSTREAM_THROTTLED", Some(1_000),
                "AWS throttles reads of Face Liveness results"),
            Self::QuotaExhausted => row(Code::ResourceExhausted, "QUOTA_EXHAUSTED", Some(1_000),
                "the AWS quota allows no first read of this session before the deadline"),
            Self::Overloaded => row(Code::ResourceExhausted, "OVERLOADED", Some(500),
                "this replica is overloaded"),
            // Only recorded: the caller sees that its connection is closed.
            Self::ResponseNotRead => row(Code::ResourceExhausted, "RESPONSE_NOT_READ", None,
                "the client did not read the response in time"),
            // Clients and meshes retry UNAVAILABLE by default, and a retry may succeed.
            Self::UpstreamUnavailable => row(Code::Unavailable, "UPSTREAM_UNAVAILABLE", Some(500),
                "AWS could not be reached or had an internal error"),
            // Not DEADLINE_EXCEEDED: the caller's own deadline has not passed.
            Self::UpstreamTimeout => row(Code::Unavailable, "UPSTREAM_TIMEOUT", Some(1_000),
                "AWS did not respond in time"),
            // Not UNAUTHENTICATED: these are not the caller's credentials, and another replica may
            // be healthy.
            Self::UpstreamCredentials => row(Code::Unavailable, "UPSTREAM_CREDENTIALS", Some(5_000),
                "the service has no valid AWS credentials or no region; ask its operator"),
            Self::ShuttingDown => row(Code::Unavailable, "SHUTTING_DOWN", Some(0),
                "this replica is shutting down; retry on another"),
            Self::DeadlineExceeded => row(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", None,
                "the deadline was about to expire, and no status of the session was known"),
            Self::UpstreamMalformed => row(Code::Internal, "UPSTREAM_MALFORMED", None,
                "AWS's response is not a Face Liveness result"),
            Self::Internal => row(Code::Internal, "INTERNAL", None,
                "a defect of this service; its log has the details"),
            Self::UpstreamUnknown => row(Code::Unknown, "UPSTREAM_UNKNOWN", None,
                "AWS returned an error that this version does not know"),
        }
    }
}

impl Reason {
    pub const ALL: [Self; 19] = [
        Self::InvalidRequest,
        Self::UpstreamInvalidParameter,
        Self::SessionNotFound,
        Self::SessionGone,
        Self::UpstreamAccessDenied,
        Self::ClientNotAllowed,
        Self::ImagesNotAllowed,
        Self::UpstreamThrottled,
        Self::QuotaExhausted,
        Self::Overloaded,
        Self::ResponseNotRead,
        Self::UpstreamUnavailable,
        Self::UpstreamTimeout,
        Self::UpstreamCredentials,
        Self::ShuttingDown,
        Self::DeadlineExceeded,
        Self::UpstreamMalformed,
        Self::Internal,
        Self::UpstreamUnknown,
    ];

    /// Returns the name in logs, metrics and ErrorInfo.
    pub const fn name(self) -> &'static str {
        self.row().name
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error of a request or a read. All callers that share a read get a clone.
#[derive(Clone, Debug)]
pub struct Error {
    pub reason: Reason,
    /// AWS's error code, sanitized.
    pub aws_code: Option<String>,
    /// AWS's request id, which AWS support needs.
    pub aws_request_id: Option<String>,
    /// Whether the cause has been corrected since: after AWS rejected a signature, the next read is
    /// signed with AWS's time or with reloaded credentials.
    pub is_corrected: bool,
    violations: Vec<Violation>,
    /// The delay before a retry, if it is not that of the row.
    retry_after: Option<Duration>,
}

/// The part of the request that violates a rule, and the rule.
#[derive(Clone, Debug)]
struct Violation {
    field: &'static str,
    description: String,
}

impl Error {
    /// Returns an error without details.
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            aws_code: None,
            aws_request_id: None,
            is_corrected: false,
            violations: Vec::new(),
            retry_after: None,
        }
    }

    /// Returns INVALID_REQUEST with a malformed field and the rule that it violates.
    pub fn invalid(field: &'static str, description: impl Into<String>) -> Self {
        Self::violation(Reason::InvalidRequest, field, description.into())
    }

    /// Returns the same error with the violations of another one, too.
    pub fn and(mut self, other: Self) -> Self {
        self.violations.extend(other.violations);
        self
    }

    /// Returns INVALID_REQUEST for a body that is not exactly one message of the method's type.
    pub fn malformed_message() -> Self {
        Self::invalid("request", "must be one GetLivenessResultRequest")
    }

    /// Returns QUOTA_EXHAUSTED with the delay of the queue.
    pub fn quota_exhausted(delay: Duration) -> Self {
        Self { retry_after: Some(delay), ..Self::new(Reason::QuotaExhausted) }
    }

    /// Returns OVERLOADED without a retry, for a part of the request that is too large.
    pub fn too_large(part: &'static str, limit: usize) -> Self {
        Self::violation(Reason::Overloaded, part, format!("must not be larger than {limit} bytes"))
    }

    /// Returns OVERLOADED without a retry, for a part of the request with too many units.
    pub fn too_many(part: &'static str, limit: usize, unit: &'static str) -> Self {
        Self::violation(Reason::Overloaded, part, format!("must not have more than {limit} {unit}"))
    }

    /// Returns DEADLINE_EXCEEDED for a part of the request that did not arrive in time.
    pub fn late(part: &'static str, limit: Duration) -> Self {
        Self::violation(Reason::DeadlineExceeded, part, format!("must arrive within {limit:?}"))
    }

    fn violation(reason: Reason, field: &'static str, description: String) -> Self {
        Self { violations: vec![Violation { field, description }], ..Self::new(reason) }
    }

    /// Returns the same error with this delay before a retry, if a retry helps at all.
    pub fn retried_after(self, delay: Duration) -> Self {
        Self { retry_after: self.retry_delay().map(|_| delay), ..self }
    }

    /// Returns the delay before a retry, or None if a retry does not help.
    pub const fn retry_delay(&self) -> Option<Duration> {
        match self.retry_after {
            Some(delay) => Some(delay),
            None if self.is_too_large() => None,
            None => self.reason.row().retry,
        }
    }

    const fn is_too_large(&self) -> bool {
        matches!(self.reason, Reason::Overloaded) && !self.violations.is_empty()
    }

    /// Whether AWS does not know the session, or has deleted it.
    pub const fn is_not_found(&self) -> bool {
        matches!(self.reason, Reason::SessionNotFound | Reason::SessionGone)
    }

    /// Whether the same read may succeed a moment later, so that the service retries it before it
    /// responds. Invalid credentials last longer.
    pub const fn is_transient(&self) -> bool {
        matches!(self.reason, Reason::UpstreamThrottled | Reason::UpstreamUnavailable | Reason::UpstreamTimeout)
    }
}

/// Returns the first 64 characters of `[A-Za-z0-9_.]` in a text from AWS. It goes into ErrorInfo
/// metadata and logs.
pub fn sanitized(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')).take(64).collect()
}

/// Sanitizes a request id, which is a UUID and keeps its hyphens.
pub fn sanitized_request_id(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect()
}

#[cfg(test)]
mod tests;
