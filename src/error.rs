//! What can go wrong, and what a caller is told of it: one table, `Reason::row`.
//!
//! `upstream` sorts the AWS SDK's errors into the table; [`Error::to_status`] is the only place
//! that makes a `Status`. An error holds AWS's code and request id and nothing else of AWS's
//! answer: its message names ARNs, its body may hold a face.

mod code;
mod status;
mod upstream;

pub use status::Context;

use std::{fmt, time::Duration};
use tonic::Code;

/// The `domain` of every ErrorInfo (AIP-193).
pub const DOMAIN: &str = "face-liveness-facade";

/// A row of the table. Its name is the `reason` of the ErrorInfo.
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
    UpstreamUnavailable,
    UpstreamTimeout,
    UpstreamCredentials,
    ShuttingDown,
    DeadlineExceeded,
    UpstreamMalformed,
    Internal,
    UpstreamUnknown,
}

/// What the table says about a reason.
struct Row {
    code: Code,
    name: &'static str,
    /// How long a caller should wait before it asks again; nothing where asking again does not
    /// help.
    retry: Option<Duration>,
    message: &'static str,
}

impl Reason {
    /// The table. The delays are a guess at how long each trouble lasts: a throttled second is over
    /// in a second, a hiccup of the network sooner, and credentials are mended by people or by a
    /// token's refresh.
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
                "AWS refused the request as invalid"),
            Self::SessionNotFound => row(Code::NotFound, "SESSION_NOT_FOUND", None,
                "AWS knows no such Face Liveness session; AWS forgets one three minutes after its creation, and a wrong region or account looks the same"),
            Self::SessionGone => row(Code::NotFound, "SESSION_GONE", None,
                "the Face Liveness session was seen unfinished here and AWS has forgotten it since; offer a new one"),
            // Not the caller's permission: retries and other replicas meet the same role, so no
            // code that clients retry.
            Self::UpstreamAccessDenied => row(Code::PermissionDenied, "UPSTREAM_ACCESS_DENIED", None,
                "the service's AWS role may not read Face Liveness results; ask its operator"),
            Self::ClientNotAllowed => row(Code::PermissionDenied, "CLIENT_NOT_ALLOWED", None,
                "this caller may not ask for Face Liveness results"),
            Self::ImagesNotAllowed => row(Code::PermissionDenied, "IMAGES_NOT_ALLOWED", None,
                "this caller may not see images; ask with RESULT_VIEW_BASIC"),
            Self::UpstreamThrottled => row(Code::ResourceExhausted, "UPSTREAM_THROTTLED", Some(1_000),
                "AWS throttles reads of Face Liveness results"),
            Self::QuotaExhausted => row(Code::ResourceExhausted, "QUOTA_EXHAUSTED", Some(1_000),
                "the AWS quota has no room for a first read of this session before the deadline"),
            Self::Overloaded => row(Code::ResourceExhausted, "OVERLOADED", Some(500),
                "too much is in flight here"),
            // UNAVAILABLE is what stock clients and meshes retry, and here another try may well
            // pass.
            Self::UpstreamUnavailable => row(Code::Unavailable, "UPSTREAM_UNAVAILABLE", Some(500),
                "AWS could not be reached or had an error of its own"),
            // Not DEADLINE_EXCEEDED: the caller's own deadline has not passed.
            Self::UpstreamTimeout => row(Code::Unavailable, "UPSTREAM_TIMEOUT", Some(1_000),
                "AWS did not answer in time"),
            // Not UNAUTHENTICATED: the caller did nothing wrong, and another replica may be
            // healthy.
            Self::UpstreamCredentials => row(Code::Unavailable, "UPSTREAM_CREDENTIALS", Some(5_000),
                "the service has no valid AWS credentials or no region; ask its operator"),
            Self::ShuttingDown => row(Code::Unavailable, "SHUTTING_DOWN", Some(0),
                "this replica is stopping; ask another"),
            Self::DeadlineExceeded => row(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", None,
                "the deadline was about to pass, and nothing was known of the session yet"),
            Self::UpstreamMalformed => row(Code::Internal, "UPSTREAM_MALFORMED", None,
                "AWS's answer is not a Face Liveness result"),
            Self::Internal => row(Code::Internal, "INTERNAL", None,
                "a defect of this service; its log has the details"),
            Self::UpstreamUnknown => row(Code::Unknown, "UPSTREAM_UNKNOWN", None,
                "AWS answered an error that this version does not know"),
        }
    }
}

impl Reason {
    pub const ALL: [Self; 18] = [
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
        Self::UpstreamUnavailable,
        Self::UpstreamTimeout,
        Self::UpstreamCredentials,
        Self::ShuttingDown,
        Self::DeadlineExceeded,
        Self::UpstreamMalformed,
        Self::Internal,
        Self::UpstreamUnknown,
    ];

    /// As logs, metrics and ErrorInfo spell it.
    pub const fn name(self) -> &'static str {
        self.row().name
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A request that was not answered, and why. Cheap to clone: everybody who shared a read gets a
/// copy.
#[derive(Clone, Debug)]
pub struct Error {
    pub reason: Reason,
    /// AWS's error code, cleaned; absent when AWS gave none.
    pub aws_code: Option<String>,
    /// AWS's request id, which its support asks for; absent when there was no answer.
    pub aws_request_id: Option<String>,
    /// Whether AWS refused a signature of another time than its own. The SDK has learnt AWS's from
    /// that answer, and signs the next read with it.
    pub clock_was_off: bool,
    violation: Option<Violation>,
    /// The delay before a retry, where it is not the row's.
    retry_after: Option<Duration>,
}

/// The field of the request that is malformed, and how.
#[derive(Clone, Debug)]
struct Violation {
    field: &'static str,
    description: String,
}

impl Error {
    /// An error of a reason that says it all.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, aws_code: None, aws_request_id: None, clock_was_off: false, violation: None, retry_after: None }
    }

    /// INVALID_REQUEST: what is wrong with which field.
    pub fn invalid(field: &'static str, description: impl Into<String>) -> Self {
        let violation = Violation { field, description: description.into() };
        Self { violation: Some(violation), ..Self::new(Reason::InvalidRequest) }
    }

    /// INVALID_REQUEST: the body is not exactly one message of the method's type.
    pub fn malformed_message() -> Self {
        Self::invalid("request", "must be one GetLivenessResultRequest")
    }

    /// QUOTA_EXHAUSTED: who waits that long gets in, if nobody new comes.
    pub fn quota_exhausted(delay: Duration) -> Self {
        Self { retry_after: Some(delay), ..Self::new(Reason::QuotaExhausted) }
    }

    /// OVERLOADED for good: asking the same again does not help.
    pub fn too_large(what: &'static str, limit: usize) -> Self {
        let violation = Violation { field: what, description: format!("must not be larger than {limit} bytes") };
        Self { violation: Some(violation), ..Self::new(Reason::Overloaded) }
    }

    /// OVERLOADED for good, likewise: there are too many of something.
    pub fn too_many(what: &'static str, limit: usize, unit: &'static str) -> Self {
        let violation = Violation { field: what, description: format!("must not have more than {limit} {unit}") };
        Self { violation: Some(violation), ..Self::new(Reason::Overloaded) }
    }

    /// DEADLINE_EXCEEDED: something that the client sends did not arrive in time.
    pub fn late(what: &'static str, limit: Duration) -> Self {
        let violation = Violation { field: what, description: format!("must arrive within {limit:?}") };
        Self { violation: Some(violation), ..Self::new(Reason::DeadlineExceeded) }
    }

    /// The same error, with this delay before a retry, where a retry helps at all.
    pub fn retried_after(self, delay: Duration) -> Self {
        Self { retry_after: self.retry_delay().map(|_| delay), ..self }
    }

    /// How long to wait before asking again; nothing where that does not help.
    pub const fn retry_delay(&self) -> Option<Duration> {
        match self.retry_after {
            Some(delay) => Some(delay),
            None if self.is_too_large() => None,
            None => self.reason.row().retry,
        }
    }

    const fn is_too_large(&self) -> bool {
        matches!((self.reason, &self.violation), (Reason::Overloaded, Some(_)))
    }

    /// Whether AWS does not know the session, now or any more.
    pub const fn is_not_found(&self) -> bool {
        matches!(self.reason, Reason::SessionNotFound | Reason::SessionGone)
    }

    /// Whether the same read may pass a moment later, so that trying again before answering is
    /// worth it. Credentials take longer than a moment to mend.
    pub const fn is_transient(&self) -> bool {
        matches!(self.reason, Reason::UpstreamThrottled | Reason::UpstreamUnavailable | Reason::UpstreamTimeout)
    }
}

/// What is left of a text from outside once nothing but `[A-Za-z0-9_.]` is let through, at most 64
/// characters of it: it ends in ErrorInfo metadata, logs and metric labels.
pub fn cleaned(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')).take(64).collect()
}

/// The same for a request id, which is a UUID and keeps its hyphens.
pub fn cleaned_request_id(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect()
}

#[cfg(test)]
mod tests;
