//! What callers received: responses, which may contain personal data, and errors, which may not.

use face_liveness_facade::proto::{GetLivenessResultResponse, Source};
use prost::Message;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
};
use tonic::{Code, Status, metadata::KeyAndValueRef, metadata::MetadataMap};
use tonic_types::StatusExt;

/// Shared by all callers of all programs.
#[derive(Clone, Default)]
pub struct Received(Arc<Mutex<Record>>);

#[derive(Default)]
pub struct Record {
    pub responses: usize,
    pub cached_responses: Vec<u8>,
    pub error_count: usize,
    pub reasons: BTreeSet<String>,
    /// Message, details and metadata of every error, without the session id in ResourceInfo.
    pub errors: Vec<u8>,
    /// How often NOT_FOUND named the requested session.
    pub names: usize,
}

impl Received {
    pub fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().expect("no thread panics while holding the lock")
    }

    /// Records the result of a call for session `id`.
    pub fn record_response(
        &self,
        id: &str,
        result: Result<tonic::Response<GetLivenessResultResponse>, Status>,
    ) -> Result<GetLivenessResultResponse, Status> {
        match result {
            Ok(response) => {
                let (metadata, response, _) = response.into_parts();
                let mut record = self.lock();
                record.responses += 1;
                record.errors.extend(text(&metadata));
                if response.source() == Source::Cache {
                    record.cached_responses.extend(response.encode_to_vec());
                }
                Ok(response)
            }
            Err(status) => {
                self.record_error(id, &status);
                Err(status)
            }
        }
    }

    /// Records an error that the caller of session `id` received.
    pub fn record_error(&self, id: &str, status: &Status) {
        let mut details = status.details().to_vec();
        let known = status.get_error_details();
        let mut record = self.lock();
        if status.code() == Code::NotFound && known.resource_info().is_some_and(|info| info.resource_name == id) {
            // Erases the first occurrence only: the session id may be in ResourceInfo, nowhere else.
            let at =
                details.windows(id.len()).position(|window| window == id.as_bytes()).expect("ResourceInfo contains it");
            details[at..at + id.len()].fill(b' ');
            record.names += 1;
        }
        record.error_count += 1;
        record.reasons.extend(known.error_info().map(|info| info.reason.clone()));
        record.errors.extend([status.message().as_bytes(), b"\n", &details, b"\n", &text(status.metadata())].concat());
    }

    /// Records bytes that were received outside of gRPC.
    pub fn record_bytes(&self, bytes: &[u8]) {
        let mut record = self.lock();
        record.error_count += 1;
        record.errors.extend(bytes);
    }
}

fn text(metadata: &MetadataMap) -> Vec<u8> {
    let entries = metadata.iter().map(|entry| match entry {
        KeyAndValueRef::Ascii(key, value) => [key.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat(),
        KeyAndValueRef::Binary(key, value) => {
            [key.as_str().as_bytes(), b": ", &value.to_bytes().unwrap_or_default(), b"\n"].concat()
        }
    });
    entries.flatten().collect()
}
