//! Limits each stream: its header fields, its request message, and the number of open streams.
//!
//! A stream takes a permit when its headers arrive, before its message is read. It returns the
//! permit when HTTP/2 has written or dropped its last frame, so a response that the client does not
//! read counts, too.

mod body;
mod incomplete;
mod layer;
mod not_grpc;
mod permit;

pub use layer::Admitted;

use crate::{
    client::{Client, ClientLimit, Peer},
    error::{Error, Reason},
    proto::GET_LIVENESS_RESULT,
};
use permit::Permit;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    codegen::http::{HeaderMap, Response},
};

/// The largest headers: a deadline, a trace, tokens that a mesh adds, at most a chain of
/// certificates. HTTP/2 counts 32 bytes for each beyond its text (RFC 9113, 6.5.2).
const MAX_HEADER_BYTES: usize = 16 * 1024;
const HEADER_OVERHEAD: usize = 32;

/// Stock clients send about ten header fields, and a mesh adds about twenty. In memory a field
/// without text still takes about 100 bytes.
const MAX_HEADER_FIELDS: usize = 64;

/// Open reflection streams, which people and their tools use.
const MAX_REFLECTIONS: usize = 100;

/// Open health checks, and calls of methods that do not exist. Each ends at once.
const MAX_SHORT_CALLS: usize = 1_000;

/// Rejected streams whose response the client has not read yet.
const MAX_UNREAD_REJECTIONS: usize = 4_000;

/// The kinds of streams, each with a limit of its own, so that health is served while calls are
/// rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GetLivenessResult.
    Call,
    /// `grpc.health.v1.Health/Watch`, which a client keeps open.
    Watch,
    Reflection,
    /// Anything else.
    Short,
}

impl Kind {
    /// Returns the kind of the streams to this path.
    fn of(path: &str) -> Self {
        match path {
            _ if path == GET_LIVENESS_RESULT.path => Self::Call,
            "/grpc.health.v1.Health/Watch" => Self::Watch,
            _ if path.starts_with("/grpc.reflection.") => Self::Reflection,
            _ => Self::Short,
        }
    }

    /// Returns whether only allowed clients may open it.
    const fn is_for_allowed_clients(self) -> bool {
        matches!(self, Self::Call | Self::Reflection)
    }

    /// Returns whether the client may send more than one message.
    const fn takes_many_messages(self) -> bool {
        matches!(self, Self::Reflection)
    }
}

/// The permits of one port. Cheap to clone.
#[derive(Clone)]
pub struct Admission(Arc<Permits>);

struct Permits {
    serves_http: bool,
    closing: CancellationToken,
    max_calls: usize,
    calls: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    reflections: Arc<Semaphore>,
    short: Arc<Semaphore>,
    rejections: Arc<Semaphore>,
}

impl Admission {
    /// The limits of the gRPC port. A client keeps one watch per connection. When `closing` is
    /// cancelled, streams whose request has not arrived end soon.
    pub fn grpc(max_calls: usize, max_connections: usize, closing: CancellationToken) -> Self {
        Self::new(false, closing, max_calls, [max_connections, MAX_REFLECTIONS, MAX_SHORT_CALLS])
    }

    /// The limits of the admin port, where each of `max_streams` may be a watch or some other call.
    pub fn admin(max_streams: usize) -> Self {
        Self::new(true, CancellationToken::new(), 0, [max_streams, 0, max_streams])
    }

    fn new(
        serves_http: bool,
        closing: CancellationToken,
        max_calls: usize,
        [watches, reflections, short]: [usize; 3],
    ) -> Self {
        let [calls, watches, reflections, short, rejections] =
            [max_calls, watches, reflections, short, MAX_UNREAD_REJECTIONS]
                .map(|permits| Arc::new(Semaphore::new(permits)));
        Self(Arc::new(Permits { serves_http, closing, max_calls, calls, watches, reflections, short, rejections }))
    }

    /// Returns whether a request to this path must be gRPC. The admin port serves some paths over
    /// HTTP.
    fn is_grpc_only(&self, path: &str) -> bool {
        !self.0.serves_http || path.starts_with("/grpc.")
    }

    /// Returns the token that is cancelled when the port begins to close.
    fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    /// Returns the number of calls of GetLivenessResult in flight.
    pub fn calls(&self) -> usize {
        self.0.max_calls - self.0.calls.available_permits()
    }

    /// Returns a permit for a stream with these headers. `client` is the client of a call.
    ///
    /// # Errors
    /// OVERLOADED: the headers are too large, too many streams of this kind are open, or the client
    /// has its share of the calls.
    pub fn admit(&self, kind: Kind, headers: &HeaderMap, client: Option<&Arc<Client>>) -> Result<Permit, Error> {
        if headers.len() > MAX_HEADER_FIELDS {
            return Err(Error::too_many("headers", MAX_HEADER_FIELDS, "fields"));
        }
        if header_bytes(headers) > MAX_HEADER_BYTES {
            return Err(Error::too_large("headers", MAX_HEADER_BYTES));
        }
        let permits = match kind {
            Kind::Call => &self.0.calls,
            Kind::Watch => &self.0.watches,
            Kind::Reflection => &self.0.reflections,
            Kind::Short => &self.0.short,
        };
        let share = client.map(Client::take_request);
        match Arc::clone(permits).try_acquire_owned() {
            Ok(permit) if !matches!(share, Some(None)) => Ok(Permit::new(permit, share.flatten())),
            _ => {
                client.inspect(|client| client.count_rejection(ClientLimit::Requests));
                Err(Error::new(Reason::Overloaded))
            }
        }
    }

    /// Counts the response of a rejected stream until it is written. When too many are unread, the
    /// connection is closed.
    pub fn reject(&self, response: Response<Body>, peer: Option<&Peer>) -> Response<Body> {
        match Arc::clone(&self.0.rejections).try_acquire_owned() {
            Ok(permit) => Permit::new(permit, None).until_written(response, None),
            Err(_) => {
                peer.inspect(|peer| peer.close());
                response
            }
        }
    }
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::{Status, codegen::http::HeaderValue};

    fn headers(count: usize, value: usize) -> HeaderMap {
        let value = HeaderValue::from_bytes(&vec![b'a'; value]).expect("ASCII");
        (0..count).map(|number| (format!("x-{number}").parse().expect("a name"), value.clone())).collect()
    }

    #[test]
    fn headers_are_bounded_by_number_and_by_size() {
        let admission = Admission::grpc(1, 1, CancellationToken::new());
        assert!(admission.admit(Kind::Call, &headers(MAX_HEADER_FIELDS, 1), None).is_ok());
        assert!(admission.admit(Kind::Call, &headers(MAX_HEADER_FIELDS + 1, 0), None).is_err());
        assert!(admission.admit(Kind::Call, &headers(1, MAX_HEADER_BYTES), None).is_err());
    }

    #[test]
    fn a_permit_returns_when_the_status_is_dropped() {
        let admission = Admission::grpc(1, 1, CancellationToken::new());
        let permit = admission.admit(Kind::Call, &HeaderMap::new(), None).expect("one is free");
        let response = Error::new(Reason::Overloaded).to_status(&Default::default()).into_http();
        let response = permit.until_written(response, None);
        assert_eq!((response.headers()[Status::GRPC_STATUS].as_bytes(), admission.calls()), (&b"8"[..], 1));
        assert!(admission.admit(Kind::Call, &HeaderMap::new(), None).is_err());
        drop(response);
        assert_eq!(admission.calls(), 0);
    }

    #[test]
    fn each_kind_of_stream_has_permits_of_its_own() {
        let admission = Admission::grpc(1, 1, CancellationToken::new());
        let kinds = [Kind::Call, Kind::Watch, Kind::Reflection, Kind::Short];
        let permits: Vec<_> =
            kinds.map(|kind| admission.admit(kind, &HeaderMap::new(), None).ok()).into_iter().flatten().collect();
        assert_eq!(permits.len(), 4);
        assert_eq!(
            ["/grpc.health.v1.Health/Watch", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/x"]
                .map(Kind::of),
            [Kind::Watch, Kind::Reflection, Kind::Short]
        );
    }
}
