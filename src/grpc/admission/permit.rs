//! The permit of a stream, which returns when HTTP/2 drops the bytes that own it.

use crate::client::RequestShare;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{
    Status,
    codegen::{
        Bytes,
        http::{HeaderMap, HeaderValue},
    },
};

/// A stream's permit.
pub struct Permit {
    _permit: OwnedSemaphorePermit,
    _share: Option<RequestShare>,
}

impl Permit {
    pub const fn new(permit: OwnedSemaphorePermit, share: Option<RequestShare>) -> Self {
        Self { _permit: permit, _share: share }
    }

    /// Gives the permit to the value of `grpc-status`, whose buffer returns it when it is dropped.
    pub fn attach(self, headers: &mut HeaderMap) {
        let Some(status) = headers.get_mut(Status::GRPC_STATUS) else { return };
        let owned = self.own(Bytes::copy_from_slice(status.as_bytes()));
        if let Ok(mut value) = HeaderValue::from_maybe_shared(owned) {
            // HPACK would keep a copy in its table otherwise, and the permit with it.
            value.set_sensitive(true);
            *status = value;
        }
    }

    /// The same bytes, whose last owner returns the permit.
    pub fn own(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Owned { bytes, _permit: self })
    }
}

struct Owned {
    bytes: Bytes,
    _permit: Permit,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
