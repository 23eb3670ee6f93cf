//! What callers were told: answers, which may hold everything, and errors, which may not.

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
    /// Message, details and metadata of every error, less the one thing that is the caller's.
    pub errors: Vec<u8>,
    /// How often NOT_FOUND named the session that it was asked for.
    pub names: usize,
}

impl Received {
    pub fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().expect("no thread panics while holding the lock")
    }

    /// Takes down how a call about `id` ended.
    pub fn record_response(
        &self,
        id: &str,
        end: Result<tonic::Response<GetLivenessResultResponse>, Status>,
    ) -> Result<GetLivenessResultResponse, Status> {
        match end {
            Ok(response) => {
                let (metadata, response, _) = response.into_parts();
                let mut words = self.lock();
                words.responses += 1;
                words.errors.extend(text(&metadata));
                if response.source() == Source::Cache {
                    words.cached_responses.extend(response.encode_to_vec());
                }
                Ok(response)
            }
            Err(status) => {
                self.record_error(id, &status);
                Err(status)
            }
        }
    }

    /// Takes down an error that was answered to the caller of `id`.
    pub fn record_error(&self, id: &str, status: &Status) {
        let mut details = status.details().to_vec();
        let known = status.get_error_details();
        let mut words = self.lock();
        if status.code() == Code::NotFound && known.resource_info().is_some_and(|info| info.resource_name == id) {
            // Once: a second mention is one too many.
            let at = details.windows(id.len()).position(|window| window == id.as_bytes()).expect("it is in there");
            details[at..at + id.len()].fill(b' ');
            words.names += 1;
        }
        words.error_count += 1;
        words.reasons.extend(known.error_info().map(|info| info.reason.clone()));
        words.errors.extend([status.message().as_bytes(), b"\n", &details, b"\n", &text(status.metadata())].concat());
    }

    /// Takes down what was answered outside of gRPC.
    pub fn record_bytes(&self, bytes: &[u8]) {
        let mut words = self.lock();
        words.error_count += 1;
        words.errors.extend(bytes);
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
