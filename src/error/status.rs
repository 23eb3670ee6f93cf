//! An error as gRPC carries it, the only place that makes a `Status`.

use super::{DOMAIN, Error, Row};
use std::{collections::HashMap, time::Duration};
use tonic::{Code, Status, codegen::http::HeaderMap, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt};

/// What only the edge knows about a failed request.
#[derive(Default)]
pub struct Context<'a> {
    /// The id that was asked for. It is told to nobody but the caller, in the ResourceInfo of
    /// NOT_FOUND.
    pub session_id: &'a str,
    /// The AWS region of this server, when it has one.
    pub region: Option<&'a str>,
    /// What is left of the caller's deadline.
    pub time_left: Duration,
}

impl Error {
    /// The error as the end of an answer that had begun. Its caller waits for nothing that could be
    /// told in addition.
    pub fn to_trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        let written = self.to_status(&Context::default()).add_header(&mut trailers);
        written.expect("a message of this table is a header's value");
        trailers
    }

    /// The error as gRPC carries it: code, message, details, and the pushback trailer where a retry
    /// may help.
    pub fn to_status(&self, context: &Context<'_>) -> Status {
        let row = self.reason.row();
        let mut details = ErrorDetails::with_error_info(row.name, DOMAIN, self.metadata(context.region));
        let mut trailers = MetadataMap::new();
        if let Some(violation) = self.violation.as_ref().filter(|_| row.code == Code::InvalidArgument) {
            details.add_bad_request_violation(violation.field, &violation.description);
        }
        if row.code == Code::NotFound {
            let kind = "rekognition.amazonaws.com/FaceLivenessSession";
            details.set_resource_info(kind, context.session_id, "", row.message);
        }
        if let Some(delay) = self.retry_delay() {
            let delay = jittered(delay);
            details.set_retry_info(Some(delay));
            // A client library would wait beyond its deadline and report that in place of the
            // reason (gRFC A6): -1 stops it.
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
        match (&self.violation, region) {
            (Some(violation), _) => format!("{}: {}", violation.field, violation.description),
            (None, Some(region)) if row.code == Code::NotFound => format!("{} (region {region})", row.message),
            (None, _) => row.message.to_owned(),
        }
    }
}

impl Error {
    /// The error of a call whose request message tonic could not read, by tonic's code: tonic's own
    /// statuses carry no details. None for a code that needs no details: the message is
    /// compressed.
    pub fn of_unread_message(code: Code, limit: usize) -> Option<Self> {
        match code {
            Code::Unimplemented => None,
            Code::OutOfRange | Code::ResourceExhausted => Some(Self::too_large("request", limit)),
            _ => Some(Self::malformed_message()),
        }
    }
}

/// Up to half as long again, so that callers who failed together do not come back together.
fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(1.0 + fastrand::f64() / 2.0)
}
