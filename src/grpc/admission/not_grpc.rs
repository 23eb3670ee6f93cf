//! Requests that are not gRPC, by their method and content type.
//!
//! Their response has an HTTP status that is no success: a client that is not gRPC's does not read
//! `grpc-status`. <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use crate::error::Error;
use tonic::codegen::http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};

/// Why a request is not gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotGrpc {
    Method,
    ContentType,
}

impl NotGrpc {
    /// Returns why a request is not gRPC; None if it is.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        let content_type = request.headers().get(CONTENT_TYPE);
        match *request.method() {
            Method::POST if content_type.is_some_and(is_grpc) => None,
            Method::POST => Some(Self::ContentType),
            _ => Some(Self::Method),
        }
    }

    pub fn error(self) -> Error {
        match self {
            Self::Method => Error::invalid("method", "must be POST"),
            Self::ContentType => Error::invalid("content-type", "must be application/grpc or application/grpc+proto"),
        }
    }

    /// Sets the HTTP status of the response.
    pub fn set_status<B>(self, response: &mut Response<B>) {
        *response.status_mut() = match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        };
        if self == Self::Method {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
    }
}

/// Returns whether messages of this content type are protobuf. Other encodings of gRPC, such as
/// JSON, and gRPC-Web are not served.
fn is_grpc(content_type: &HeaderValue) -> bool {
    let bytes = content_type.as_bytes();
    // What nearly all clients send.
    if bytes == b"application/grpc" {
        return true;
    }
    let media_type = bytes.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    [&b"application/grpc"[..], b"application/grpc+proto"].iter().any(|grpc| media_type.eq_ignore_ascii_case(grpc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, content_type: &str) -> Option<NotGrpc> {
        NotGrpc::of(&Request::builder().method(method).header(CONTENT_TYPE, content_type).body(()).expect("valid"))
    }

    #[test]
    fn only_protobuf_over_grpc_is_served() {
        for good in [
            "application/grpc",
            "application/grpc+proto",
            "Application/GRPC",
            "APPLICATION/GRPC+PROTO",
            "application/grpc;charset=utf-8",
            "application/grpc+proto ; a=b",
        ] {
            assert_eq!(of("POST", good), None, "{good}");
        }
        for bad in [
            "",
            "application/json",
            "application/grpcfoo",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web-text",
            "application/grpc+json",
            "application/grpc+proto2",
            "application/grp",
            " ;application/grpc",
            "text/plain;application/grpc",
        ] {
            assert_eq!(of("POST", bad), Some(NotGrpc::ContentType), "{bad}");
        }
        assert_eq!(NotGrpc::of(&Request::post("/").body(()).expect("valid")), Some(NotGrpc::ContentType));
    }

    #[test]
    fn only_post_is_served() {
        for method in ["PUT", "GET", "HEAD", "OPTIONS", "DELETE", "PATCH", "post", "X"] {
            assert_eq!(of(method, "application/grpc"), Some(NotGrpc::Method), "{method}");
        }
    }
}
