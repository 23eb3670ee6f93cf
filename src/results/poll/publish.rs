//! Caches what a poll read, and publishes it to subscribers.

use super::{
    io::PollIo,
    state::{LastResponse, Publication, ReadResult},
};
use crate::{
    error::{Error, Reason},
    results::{Images, SessionResponse, cache::Kept, polls::Progress, session_result::SessionResult},
};
use tokio::{sync::watch, time::Instant};

impl PollIo {
    pub async fn publish(&self, publication: Publication, started: Instant, progress: &watch::Sender<Progress>) {
        match publication {
            Publication::Pending(outcome) => {
                let answer = self.polls.cache.keep_state(self.id, outcome).await;
                progress.send_modify(|progress| (progress.last, progress.failure) = (Some(answer), None));
            }
            Publication::Failure(failure) => progress.send_modify(|progress| progress.failure = Some(failure)),
            Publication::Last(response) => {
                let end = self.cache_response(*response, started).await;
                // First, so that a caller that comes now gets the cached result or a new poll.
                self.polls.leave(self.id, || false);
                progress.send_modify(|progress| progress.end = Some(end));
            }
        }
    }

    async fn cache_response(&self, response: LastResponse, started: Instant) -> Result<SessionResponse, Error> {
        let cache = &self.polls.cache;
        match response {
            LastResponse::Cached(answer) => Ok(answer),
            LastResponse::Final(read) => Ok(self.cache_result(read, started).await),
            LastResponse::RemoteFinal(outcome) => Ok(cache.keep(self.id, outcome, None).await.into_answer()),
            LastResponse::Images(first, read) => {
                let kept = cache.keep_images(self.id, first, &read.outcome, Some(read.images)).await;
                Ok(self.settle_images(kept, read.aws_request_id.as_deref()).await)
            }
            LastResponse::NotFound(error) => Err(cache.keep_not_found(self.id, error).await),
            LastResponse::Error(error) => Err(error),
        }
    }

    async fn cache_result(&self, read: ReadResult, started: Instant) -> SessionResponse {
        let ReadResult { outcome, images, aws_request_id } = read;
        let polled_for = outcome.read_at - started;
        let kept = self.keep(outcome, images).await;
        let answer = self.settle(kept, aws_request_id.as_deref());
        let session = self.polls.session_refs.reference(self.id);
        let status = answer.result.message.status().as_str_name();
        let millis = polled_for.as_millis() as u64;
        tracing::info!(%session, status, aws_request_id, polled_for_millis = millis, "session ended");
        answer
    }

    /// Caches the result of a final session: in the shared cache first, since the first result is
    /// the result for all replicas.
    async fn keep(&self, mut outcome: SessionResult, images: Images) -> Kept {
        let cache = &self.polls.cache;
        let images = cache.assess(self.id, &mut outcome, images).await;
        match self.coordinator.save(&outcome, &images).await {
            Some(first) if first.agrees_with(&outcome) => {
                (outcome.read_time, outcome.read_at) = (first.read_time, first.read_at);
                (outcome.expires_at, outcome.images_expire_at) = (first.expires_at, first.images_expire_at);
                cache.keep(self.id, outcome, Some(images)).await
            }
            Some(first) => Kept::Contradicted(cache.keep(self.id, first, None).await.into_answer()),
            None => cache.keep(self.id, outcome, Some(images)).await,
        }
    }

    /// Returns the response after a final read. Logs and counts a read that contradicts the first
    /// result; nothing of it is cached.
    fn settle(&self, kept: Kept, aws_request_id: Option<&str>) -> SessionResponse {
        if matches!(kept, Kept::Contradicted(_)) {
            let session = self.polls.session_refs.reference(self.id);
            tracing::warn!(%session, aws_request_id, "AWS now says something else of a session that had ended: the first result stays");
            self.polls.metrics.contradictions.inc();
        }
        kept.into_answer()
    }

    /// Returns the response after a read for images. If the read had none, AWS is not read again.
    async fn settle_images(&self, kept: Kept, aws_request_id: Option<&str>) -> SessionResponse {
        let answer = self.settle(kept, aws_request_id);
        if answer.images.is_none() {
            let ttl = answer.result.images_expire_at.saturating_duration_since(Instant::now());
            self.polls.cache.negative.insert(self.id, &Error::new(Reason::UpstreamMalformed), ttl).await;
        }
        answer
    }
}
