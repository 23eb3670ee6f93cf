//! Caches the result of a poll, and makes the last response of it.

use super::{
    io::PollIo,
    state::{LastResponse, ReadResult},
};
use crate::{
    error::{Error, Reason},
    results::{cache::Inserted, session_result::SessionResponse},
};
use tokio::time::Instant;

impl PollIo {
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
        let inserted = match self.coordinator.save(&result, &images).await {
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
            tracing::warn!(%session, aws_request_id, "AWS now says something else of a session that had ended: the first result stays");
            self.context.metrics.contradictions.inc();
        }
        inserted.response
    }
}
