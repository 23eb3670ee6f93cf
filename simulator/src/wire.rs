//! AWS JSON 1.1 as Rekognition speaks it: operations, errors, and their form over HTTP.
//!
//! Codes and shapes follow <https://docs.aws.amazon.com/rekognition/latest/dg/error-handling.html>.
//! Errors of the framework (signature, operation, JSON) have status 400 in every JSON service of
//! AWS whose responses are public. The page of common errors lists 403 and 404 for some.
//! Messages are this project's own.

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");

/// An operation. In JSON `get_face_liveness_session_results`, or AWS's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Creates a session.
    #[serde(alias = "CreateFaceLivenessSession")]
    CreateFaceLivenessSession,
    /// Reads the status of a session and, when it is final, its result.
    #[serde(alias = "GetFaceLivenessSessionResults")]
    GetFaceLivenessSessionResults,
}

impl Operation {
    pub(crate) const ALL: [Self; 2] = [Self::CreateFaceLivenessSession, Self::GetFaceLivenessSessionResults];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CreateFaceLivenessSession => "CreateFaceLivenessSession",
            Self::GetFaceLivenessSessionResults => "GetFaceLivenessSessionResults",
        }
    }

    /// Returns the operation that an `X-Amz-Target` header names.
    pub(crate) fn from_target(target: &str) -> Option<Self> {
        let name = target.strip_prefix("RekognitionService.")?;
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }
}

/// An error of the service, or of the framework in front of it.
#[derive(Debug, PartialEq)]
pub(crate) struct ApiError {
    pub code: Cow<'static, str>,
    pub status: StatusCode,
    pub message: Option<String>,
    layer: Layer,
}

/// The origin of an error, which decides the form of its body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layer {
    Service,
    Framework,
}

impl ApiError {
    pub fn new(code: impl Into<Cow<'static, str>>, status: StatusCode, message: Option<String>) -> Self {
        Self { code: code.into(), status, message, layer: Layer::Service }
    }

    fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, StatusCode::BAD_REQUEST, Some(message.into()))
    }

    pub fn validation(message: String) -> Self {
        Self::bad_request("ValidationException", message)
    }

    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::bad_request("InvalidParameterException", message)
    }

    pub fn serialization(message: impl Into<String>) -> Self {
        Self::bad_request("SerializationException", message)
    }

    pub fn session_not_found() -> Self {
        Self::bad_request("SessionNotFoundException", "There is no session with this id, or it has expired.")
    }

    pub fn throttled() -> Self {
        Self::bad_request("ThrottlingException", "Too many requests at once. Slow down.")
    }

    pub fn too_many_sessions() -> Self {
        Self::bad_request("LimitExceededException", "The simulator has the maximum number of sessions.")
    }

    pub fn too_large() -> Self {
        let message = Some("The request is too large.".to_owned());
        Self::new("RequestEntityTooLargeException", StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    pub fn unknown_operation() -> Self {
        Self { layer: Layer::Framework, ..Self::new("UnknownOperationException", StatusCode::BAD_REQUEST, None) }
    }

    pub fn missing_authentication() -> Self {
        let message = "The request has no authentication token.";
        Self { layer: Layer::Framework, ..Self::bad_request("MissingAuthenticationTokenException", message) }
    }

    pub fn incomplete_signature(message: String) -> Self {
        Self { layer: Layer::Framework, ..Self::bad_request("IncompleteSignatureException", message) }
    }

    fn body(&self) -> Bytes {
        let mut body = match self.layer {
            Layer::Service => json!({"__type": self.code, "Code": self.code, "Logref": Uuid::new_v4().to_string()}),
            Layer::Framework => json!({"__type": self.code}),
        };
        if let Some(message) = &self.message {
            let name = if self.layer == Layer::Service { "Message" } else { "message" };
            body[name] = json!(message);
        }
        body.to_string().into()
    }
}

/// A response before it is sent, or truncated.
pub(crate) struct Reply {
    pub status: StatusCode,
    pub body: Bytes,
    /// The error code or session status, for the log and the counts.
    pub outcome: String,
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        Self { status: error.status, body: error.body(), outcome: error.code.into_owned() }
    }
}

/// Creates a response with AWS's content type and a request id.
pub(crate) fn response(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let request_id = Uuid::new_v4().to_string();
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert("x-amzn-requestid", request_id.parse().expect("a UUID is letters, digits and dashes"));
    response
}

/// Creates the response of AWS's JSON services to a request that is not in their protocol.
pub(crate) fn not_the_protocol() -> Response<Body> {
    let mut response = response(StatusCode::NOT_FOUND, "<UnknownOperationException/>\n");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_operation_has_a_target() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_target(&format!("RekognitionService.{}", operation.name())), Some(operation));
        }
        assert_eq!(Operation::from_target("GetFaceLivenessSessionResults"), None);
        assert_eq!(Operation::from_target("RekognitionService.DetectFaces"), None);
    }

    #[test]
    fn the_service_and_the_framework_write_errors_differently() {
        let members = |error: ApiError| -> Vec<String> {
            let body: Value = serde_json::from_slice(&error.body()).unwrap();
            body.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(members(ApiError::session_not_found()), ["Code", "Logref", "Message", "__type"]);
        assert_eq!(members(ApiError::missing_authentication()), ["__type", "message"]);
        assert_eq!(members(ApiError::new("X", StatusCode::BAD_REQUEST, None)), ["Code", "Logref", "__type"]);
    }
}
