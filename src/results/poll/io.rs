//! The I/O of a poll: reads the session, and caches its last result.

use super::{
    context::PollContext,
    state::{LastResponse, ReadResult},
};
use crate::{
    error::{Error, Reason},
    results::{
        cache::Inserted,
        coordinator::Coordinator,
        session_result::{ImageSet, SessionResponse, SessionResult},
    },
    session::SessionId,
    telemetry::spans,
};
use std::sync::Arc;
use tokio::time::Instant;

/// What the reads and the responses of a poll need.
pub struct PollIo {
    pub id: SessionId,
    pub context: Arc<PollContext>,
    pub coordinator: Box<dyn Coordinator>,
    /// The caller that started the poll: traces show all reads under its call.
    pub caller: spans::Caller,
}

impl PollIo {
    /// Reads the session from AWS, with one HTTP attempt.
    pub async fn read(&self) -> Result<ReadResult, Error> {
        let PollIo { id, context, caller, .. } = self;
        let _permit = context.reads.acquire().await.expect("it is never closed");
        let started = Instant::now();
        let read = context.rekognition.read(*id, caller).await;
        let reason = read.as_ref().err().map_or("OK", |error| error.reason.name());
        context.metrics.reads.with_label_values(&[reason]).inc();
        context.metrics.read_seconds.observe(started.elapsed().as_secs_f64());
        let read = read?;
        let (mut result, images) = SessionResult::split(read.result);
        if !result.is_final() {
            // A status that this version does not know may come with images. They are not cached.
            result.sent = ImageSet::NONE;
        }
        Ok(ReadResult { result, images, aws_request_id: read.aws_request_id })
    }

    /// Caches the last result and returns the response for all subscribers.
    pub async fn cache_last(&self, last: LastResponse, started: Instant) -> Result<SessionResponse, Error> {
        let cache = &self.context.cache;
        match last {
            LastResponse::Final(read) => Ok(self.cache_final(read, started).await),
            LastResponse::RemoteFinal(result) => Ok(cache.insert_final(self.id, result, None).await.response),
            LastResponse::Images(first, read) => {
                let inserted = cache.insert_images(self.id, first, &read.result, Some(read.images)).await;
                let response = self.check_contradiction(inserted, read.aws_request_id.as_deref());
                if response.images.is_none() {
                    // The read had no images, so AWS is not read for them again.
                    let ttl = response.result.images_expire_at.saturating_duration_since(Instant::now());
                    cache.negative.insert(self.id, &Error::new(Reason::UpstreamMalformed), ttl).await;
                }
                Ok(response)
            }
            LastResponse::NotFound(error) => Err(cache.insert_not_found(self.id, error).await),
            LastResponse::Error(error) => Err(error),
        }
    }

    /// Caches a final result in the shared cache first: the first result of any replica is the
    /// result.
    async fn cache_final(&self, read: ReadResult, started: Instant) -> SessionResponse {
        let cache = &self.context.cache;
        let ReadResult { mut result, images, aws_request_id } = read;
        let polled_for_millis = (result.read_at - started).as_millis() as u64;
        let images = cache.set_expiry(self.id, &mut result, images).await;
        let saved = self.coordinator.save(&result, &images).await;
        // The replica that reads a result first counts it. A repeated save finds its own result.
        if saved.as_ref().is_none_or(|first| first.read_time == result.read_time) {
            self.context.metrics.final_results.count(&result.message);
        }
        let inserted = match saved {
            Some(first) if !first.agrees_with(&result) => {
                Inserted { is_contradiction: true, ..cache.insert_final(self.id, first, None).await }
            }
            Some(first) => {
                (result.read_time, result.read_at) = (first.read_time, first.read_at);
                (result.expires_at, result.images_expire_at) = (first.expires_at, first.images_expire_at);
                cache.insert_final(self.id, result, Some(images)).await
            }
            None => cache.insert_final(self.id, result, Some(images)).await,
        };
        let response = self.check_contradiction(inserted, aws_request_id.as_deref());
        let session = self.context.session_refs.reference(self.id);
        let status = response.result.message.status().as_str_name();
        tracing::info!(%session, status, aws_request_id, polled_for_millis, "session ended");
        response
    }

    /// Logs and counts a read that contradicts the first result. Nothing of it was cached.
    fn check_contradiction(&self, inserted: Inserted, aws_request_id: Option<&str>) -> SessionResponse {
        if inserted.is_contradiction {
            let session = self.context.session_refs.reference(self.id);
            tracing::warn!(%session, aws_request_id, "a read contradicts the first final result of its session: the first result is kept");
            self.context.metrics.contradictions.inc();
        }
        inserted.response
    }
}
