//! Sorts what the AWS SDK calls an error into the table.
//!
//! A known AWS error code decides. Without any code the HTTP status does, and never before: AWS
//! answers 400 to a missing session, a denied role and a throttled account alike. No SDK error is
//! ever formatted: its `Debug` prints the raw body, faces included.

use super::{Error, Reason, cleaned, cleaned_request_id};
use aws_sdk_rekognition::{
    config::http::HttpResponse,
    error::{ConnectorError, ProvideErrorMetadata, SdkError},
    operation::{RequestId, get_face_liveness_session_results::GetFaceLivenessSessionResultsError},
    primitives::{DateTime, DateTimeFormat},
};
use http_body_util::LengthLimitError;
use std::{error, iter, time::SystemTime};

/// AWS takes a signature for five minutes to either side of its own clock. The SDK calls a clock
/// off from here on.
const MAX_SKEW_SECONDS: u64 = 4 * 60;

impl From<SdkError<GetFaceLivenessSessionResultsError, HttpResponse>> for Error {
    fn from(error: SdkError<GetFaceLivenessSessionResultsError, HttpResponse>) -> Self {
        let aws_code = error.code().map(cleaned).filter(|code| !code.is_empty());
        let reason = match &error {
            SdkError::ServiceError(context) => match &aws_code {
                Some(code) => of_code(code),
                None => of_http_status(context.raw().status().as_u16()),
            },
            SdkError::TimeoutError(_) => Reason::UpstreamTimeout,
            SdkError::DispatchFailure(failure) => {
                failure.as_connector_error().map_or(Reason::UpstreamCredentials, of_connector)
            }
            // No result is that long. A proxy's page may be, and says with its status what it is
            // about.
            SdkError::ResponseError(context) if is_too_long(&error) => of_http_status(context.raw().status().as_u16()),
            // The answer began and did not end.
            SdkError::ResponseError(_) => Reason::UpstreamUnavailable,
            // The SDK could not build the request, or has a new kind of error. AWS did not respond.
            _ => Reason::Internal,
        };
        let aws_request_id = error.request_id().map(cleaned_request_id).filter(|id| !id.is_empty());
        let refused = matches!(reason, Reason::UpstreamCredentials | Reason::UpstreamAccessDenied);
        let clock_was_off = refused && error.raw_response().is_some_and(is_of_another_time);
        Self { aws_code, aws_request_id, clock_was_off, ..Self::new(reason) }
    }
}

fn is_too_long(error: &(dyn error::Error + 'static)) -> bool {
    iter::successors(Some(error), |error| error.source()).any(|error| error.is::<LengthLimitError>())
}

/// Whether AWS's clock and this machine's are so far apart that AWS takes no signature of this
/// machine's.
fn is_of_another_time(response: &HttpResponse) -> bool {
    let date = response.headers().get("date").and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
    let now = DateTime::from(SystemTime::now());
    date.is_some_and(|date| date.secs().abs_diff(now.secs()) > MAX_SKEW_SECONDS)
}

/// The codes that Face Liveness models, those that all of AWS may answer, and the spellings of both
/// that the SDKs know.
/// <https://docs.aws.amazon.com/rekognition/latest/APIReference/CommonErrors.html>
fn of_code(code: &str) -> Reason {
    match code {
        "SessionNotFoundException" => Reason::SessionNotFound,
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired" => Reason::UpstreamAccessDenied,
        "InvalidParameterException" | "ValidationException" | "ValidationError" => Reason::UpstreamInvalidParameter,
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "ProvisionedThroughputExceededException"
        | "SlowDown" => Reason::UpstreamThrottled,
        _ if code.starts_with("LimitExceeded") || code.starts_with("TooManyRequests") => Reason::UpstreamThrottled,
        "InternalServerError"
        | "InternalFailure"
        | "InternalServerException"
        | "InternalError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestAbortedException"
        | "RequestTimeout"
        | "RequestTimeoutException" => Reason::UpstreamUnavailable,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Reason::UpstreamCredentials,
        _ => Reason::UpstreamUnknown,
    }
}

/// An answer without a code comes from something before AWS (a proxy, a mesh), or is a 200 that the
/// SDK could not read.
fn of_http_status(status: u16) -> Reason {
    match status {
        200..=299 => Reason::UpstreamMalformed,
        429 => Reason::UpstreamThrottled,
        500.. => Reason::UpstreamUnavailable,
        _ => Reason::UpstreamUnknown,
    }
}

/// A request without an answer: the network's fault, or this machine's. The SDK reports missing
/// credentials and a missing region as neither network nor time. So it does a connection that was
/// closed before the answer, or an answer that is no HTTP, but what these come of at once is an
/// error of its HTTP client. Deeper down that may be the one of a credential provider.
fn of_connector(error: &ConnectorError) -> Reason {
    let source = error::Error::source(error);
    if error.is_timeout() {
        Reason::UpstreamTimeout
    } else if error.is_io() || source.is_some_and(|source| source.is::<hyper_util::client::legacy::Error>()) {
        Reason::UpstreamUnavailable
    } else {
        Reason::UpstreamCredentials
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_code_decides() {
        use Reason::*;
        for (code, reason) in [
            ("SessionNotFoundException", SessionNotFound),
            ("AccessDeniedException", UpstreamAccessDenied),
            ("InvalidParameterException", UpstreamInvalidParameter),
            ("ValidationException", UpstreamInvalidParameter),
            ("ThrottlingException", UpstreamThrottled),
            ("ProvisionedThroughputExceededException", UpstreamThrottled),
            ("LimitExceededException", UpstreamThrottled),
            ("LimitExceededFault", UpstreamThrottled),
            ("TooManyRequestsException", UpstreamThrottled),
            ("InternalServerError", UpstreamUnavailable),
            ("InternalFailure", UpstreamUnavailable),
            ("ServiceUnavailable", UpstreamUnavailable),
            ("ServiceUnavailableException", UpstreamUnavailable),
            ("UnrecognizedClientException", UpstreamCredentials),
            ("ExpiredTokenException", UpstreamCredentials),
            ("InvalidSignatureException", UpstreamCredentials),
            ("IncompleteSignature", UpstreamCredentials),
            ("MissingAuthenticationToken", UpstreamCredentials),
            ("UnknownOperationException", UpstreamUnknown),
            ("SomethingOfTomorrow", UpstreamUnknown),
        ] {
            assert_eq!(of_code(code), reason, "{code}");
        }
    }

    #[test]
    fn without_a_code_the_http_status_decides() {
        for (status, reason) in [
            (200, Reason::UpstreamMalformed),
            (204, Reason::UpstreamMalformed),
            (301, Reason::UpstreamUnknown),
            (400, Reason::UpstreamUnknown),
            (403, Reason::UpstreamUnknown),
            (429, Reason::UpstreamThrottled),
            (500, Reason::UpstreamUnavailable),
            (503, Reason::UpstreamUnavailable),
        ] {
            assert_eq!(of_http_status(status), reason, "{status}");
        }
    }
}
