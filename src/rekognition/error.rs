//! Classifies the errors of the AWS SDK.
//!
//! A known AWS error code decides: AWS returns 400 for a missing session, a denied role and a
//! throttled account. For an unknown code or none, the HTTP status decides. SDK errors are never
//! formatted: their `Debug` prints the raw body, faces included.

use crate::error::{Error, Reason, sanitized, sanitized_request_id};
use aws_sdk_rekognition::{
    config::http::HttpResponse,
    error::{ConnectorError, ProvideErrorMetadata, SdkError},
    operation::{RequestId, get_face_liveness_session_results::GetFaceLivenessSessionResultsError},
};
use http_body_util::LengthLimitError;
use std::{error, iter};

/// Returns the error of a failed read.
pub fn from_sdk(error: &SdkError<GetFaceLivenessSessionResultsError, HttpResponse>) -> Error {
    let code = error.code().or_else(|| error.raw_response().and_then(code_in_header));
    let aws_code = code.map(sanitized).filter(|code| !code.is_empty());
    let known = aws_code.as_deref().and_then(reason_of_code);
    let reason = match error {
        SdkError::ServiceError(context) => {
            known.unwrap_or_else(|| reason_of_http_status(context.raw().status().as_u16()))
        }
        SdkError::TimeoutError(_) => Reason::UpstreamTimeout,
        SdkError::DispatchFailure(failure) => {
            failure.as_connector_error().map_or(Reason::UpstreamCredentials, reason_of_connector)
        }
        // No result is that large. It is the page of a proxy, whose status has the reason.
        SdkError::ResponseError(context) if is_too_large(error) => {
            known.unwrap_or_else(|| reason_of_http_status(context.raw().status().as_u16()))
        }
        // The response was cut off.
        SdkError::ResponseError(_) => known.unwrap_or(Reason::UpstreamUnavailable),
        // The SDK could not build the request, or has a new kind of error. AWS did not respond.
        _ => Reason::Internal,
    };
    let mut result = Error::new(reason);
    result.aws_code = aws_code;
    result.aws_request_id = error.request_id().map(sanitized_request_id).filter(|id| !id.is_empty());
    result
}

/// Returns AWS's response if it rejects the signature, so that its time may be the cause.
pub fn rejected_signature<'a, E>(error: &'a SdkError<E, HttpResponse>, code: Option<&str>) -> Option<&'a HttpResponse> {
    let codes = [
        "AccessDeniedException",
        "AuthFailure",
        "InvalidSignatureException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    ];
    error.raw_response().filter(|_| code.is_some_and(|code| codes.contains(&code)))
}

fn is_too_large(error: &(dyn error::Error + 'static)) -> bool {
    iter::successors(Some(error), |error| error.source()).any(|error| error.is::<LengthLimitError>())
}

/// Returns the error code in a response whose body is not JSON: without it, the SDK does not read
/// the header. A value can be `namespace#ThrottlingException:http://internal.amazon.com/coral/`.
fn code_in_header(response: &HttpResponse) -> Option<&str> {
    let code = response.headers().get("x-amzn-errortype")?.split(':').next()?;
    code.rsplit('#').next()
}

/// Returns the reason of a known AWS error code: the codes of Face Liveness, the common ones of
/// AWS, and all their spellings in the SDKs.
/// <https://docs.aws.amazon.com/rekognition/latest/APIReference/CommonErrors.html>
fn reason_of_code(code: &str) -> Option<Reason> {
    let reason = match code {
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
        "AuthFailure"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "InvalidToken"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Reason::UpstreamCredentials,
        _ => return None,
    };
    Some(reason)
}

/// Returns the reason of a response without a known code. It comes from a proxy or a mesh, is a
/// 200 that the SDK could not parse, or has a code newer than this version.
fn reason_of_http_status(status: u16) -> Reason {
    match status {
        200..=299 => Reason::UpstreamMalformed,
        429 => Reason::UpstreamThrottled,
        500.. => Reason::UpstreamUnavailable,
        _ => Reason::UpstreamUnknown,
    }
}

/// Returns the reason of a request without a response.
///
/// The SDK classifies missing credentials, a missing region, a closed connection and a response
/// that is not HTTP alike: as neither timeout nor I/O. The direct source of the last two is an
/// error of the HTTP client. Deeper in the chain it can be that of a credential provider.
fn reason_of_connector(error: &ConnectorError) -> Reason {
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
        ] {
            assert_eq!(reason_of_code(code), Some(reason), "{code}");
        }
        for code in ["UnknownOperationException", "SomethingOfTomorrow", ""] {
            assert_eq!(reason_of_code(code), None, "{code}");
        }
    }

    #[test]
    fn without_a_known_code_the_http_status_decides() {
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
            assert_eq!(reason_of_http_status(status), reason, "{status}");
        }
    }
}
