//! Converts an error to a `Status`.

use super::{DOMAIN, Error, Row};
use std::{collections::HashMap, time::Duration};
use tonic::{Code, Status, codegen::http::HeaderMap, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt};

/// The parts of a status that an [`Error`] does not contain.
#[derive(Default)]
pub struct Context<'a> {
    /// The requested session. Only the ResourceInfo of NOT_FOUND contains it.
    pub session_id: &'a str,
    /// The AWS region of this server.
    pub region: Option<&'a str>,
    /// The time until the caller's deadline.
    pub time_left: Duration,
}

impl Error {
    /// Returns the trailers that end a stream with this error.
    pub fn to_trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        let written = self.to_status(&Context::default()).add_header(&mut trailers);
        written.expect("messages of the table are valid header values");
        trailers
    }

    /// Returns the status: code, message, details, and the pushback trailer if a retry may help.
    pub fn to_status(&self, context: &Context<'_>) -> Status {
        let row = self.reason.row();
        let mut details = ErrorDetails::with_error_info(row.name, DOMAIN, self.metadata(context.region));
        let mut trailers = MetadataMap::new();
        for violation in self.violations.iter().filter(|_| row.code == Code::InvalidArgument) {
            details.add_bad_request_violation(violation.field, &violation.description);
        }
        if row.code == Code::NotFound {
            let kind = "rekognition.amazonaws.com/FaceLivenessSession";
            details.set_resource_info(kind, context.session_id, "", row.message);
        }
        if let Some(delay) = self.retry_delay() {
            let delay = jittered(delay);
            details.set_retry_info(Some(delay));
            // A client library would wait until its deadline, and report DEADLINE_EXCEEDED instead
            // of this reason (gRFC A6). -1 prevents the retry.
            let pushback = if delay < context.time_left { delay.as_millis() as i64 } else { -1 };
            trailers.insert("grpc-retry-pushback-ms", pushback.into());
        }
        Status::with_error_details_and_metadata(row.code, self.message(&row, context.region), details, trailers)
    }

    fn metadata(&self, region: Option<&str>) -> HashMap<String, String> {
        let entries = [
            ("awsErrorCode", self.aws_code.as_deref()),
            ("awsRequestId", self.aws_request_id.as_deref()),
            ("region", region),
        ];
        let known = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())));
        known.collect()
    }

    fn message(&self, row: &Row, region: Option<&str>) -> String {
        let violations =
            self.violations.iter().map(|violation| format!("{}: {}", violation.field, violation.description));
        match region {
            _ if !self.violations.is_empty() => violations.collect::<Vec<_>>().join("; "),
            Some(region) if row.code == Code::NotFound => format!("{} (region {region})", row.message),
            _ => row.message.to_owned(),
        }
    }
}

impl Error {
    /// Returns the error of a call whose request message tonic could not read, by tonic's code:
    /// tonic's own statuses have no details. None if the message is compressed, which needs no
    /// details.
    pub fn of_unread_message(code: Code, limit: usize) -> Option<Self> {
        match code {
            Code::Unimplemented => None,
            Code::OutOfRange | Code::ResourceExhausted => Some(Self::too_large("request", limit)),
            _ => Some(Self::malformed_message()),
        }
    }
}

/// Adds up to 50 %, so that callers that failed together do not retry together.
fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(1.0 + fastrand::f64() / 2.0)
}
