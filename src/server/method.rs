//! The one method of the service, from its HTTP request to its response.
//!
//! tonic's own way there has a router, four boxes and two buffers of 8 KiB for a message of 50
//! bytes. What its framing means is in
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use super::{MAX_REQUEST_BYTES, admission::Permit};
use crate::{
    error::{self, Error},
    proto::GetLivenessResultRequest,
    service::{Call, HEAD, Service},
};
use http_body_util::BodyExt;
use tokio::time::timeout_at;
use tonic::{
    body::Body,
    codegen::http::{
        HeaderMap, Response,
        header::{CONTENT_TYPE, HeaderValue},
    },
    metadata::GRPC_CONTENT_TYPE,
};

/// Reads the message of a call and returns its response, whose last frame returns the permit.
pub async fn answer(service: Service, call: Call, permit: Permit, body: Body) -> Response<Body> {
    let (by, late) = call.message_by();
    let request = match timeout_at(by, message(body)).await.unwrap_or(Err(late)) {
        Ok(request) => request,
        Err(error) => return permit.until_written(service.refuse(&call, error).into_http()),
    };
    match service.get_liveness_result(call, request).await {
        Ok((message, sending)) => {
            let mut response = Response::new(match sending {
                Some(sending) => Body::new(permit.held(sending.body(message))),
                None => Body::new(permit.held(message)),
            });
            response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
            response
        }
        Err(status) => permit.until_written(status.into_http()),
    }
}

/// Returns the response to a request whose message is compressed; None if it is not.
pub fn refuse_compressed(headers: &HeaderMap) -> Option<Response<Body>> {
    headers.get("grpc-encoding").filter(|encoding| *encoding != "identity")?;
    let mut response = error::compressed().into_http();
    response.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
    Some(response)
}

/// The one message of a request.
async fn message(mut body: Body) -> Result<GetLivenessResultRequest, Error> {
    let malformed = || Error::invalid("request", "must be one GetLivenessResultRequest");
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| malformed())?.into_data() else { continue };
        bytes.extend_from_slice(&data);
        // As soon as it is known: the rest may never come.
        if bytes.len() > HEAD + MAX_REQUEST_BYTES || announced(&bytes).is_some_and(|size| size > MAX_REQUEST_BYTES) {
            return Err(Error::too_large("request", MAX_REQUEST_BYTES));
        }
    }
    let message = bytes.get(HEAD..).filter(|message| bytes[0] == 0 && announced(&bytes) == Some(message.len()));
    message.and_then(|message| prost::Message::decode(message).ok()).ok_or_else(malformed)
}

/// How long the message is by what its head says, once the head is there.
fn announced(bytes: &[u8]) -> Option<usize> {
    let (_, size) = bytes.split_first()?;
    Some(u32::from_be_bytes(*size.first_chunk()?) as usize)
}
