//! The reads and claims of one poll, as operations that end with an event.

use super::state::{Event, ReadResult};
use crate::{
    error::Error,
    results::{
        ImageSet,
        coordinator::{ClaimTo, Coordinator},
        polls::Polls,
        session_result::SessionResult,
    },
    session::SessionId,
    telemetry::spans,
};
use std::sync::Arc;
use tokio::time::Instant;

/// What the operations of a poll need.
pub struct PollIo {
    pub id: SessionId,
    pub polls: Arc<Polls>,
    pub coordinator: Box<dyn Coordinator>,
    /// The caller that started the poll: traces show all reads under its call.
    pub caller: spans::Caller,
}

impl PollIo {
    /// Reads the session from AWS, with one HTTP attempt.
    pub async fn read(self: Arc<Self>) -> Event {
        Event::ReadResult(self.try_read().await)
    }

    async fn try_read(&self) -> Result<ReadResult, Error> {
        let _permit = self.polls.reads.acquire().await.expect("it is never closed");
        let started = Instant::now();
        let read = self.polls.rekognition.read(self.id, &self.caller).await;
        let reason = read.as_ref().err().map_or("OK", |error| error.reason.name());
        self.polls.metrics.reads.with_label_values(&[reason]).inc();
        self.polls.metrics.read_seconds.observe(started.elapsed().as_secs_f64());
        let read = read?;
        let (mut outcome, images) = SessionResult::split(read.result);
        if !outcome.is_final() {
            // A status that this version does not know may come with images. They are not cached.
            outcome.sent = ImageSet::NONE;
        }
        Ok(ReadResult { outcome, images, aws_request_id: read.aws_request_id })
    }

    pub async fn claim(self: Arc<Self>, to: ClaimTo) -> Event {
        let claim = self.coordinator.claim(to).await;
        match claim.is_granted {
            true => Event::LeaseGranted(claim.remote),
            false => Event::LeaseDenied(claim.remote),
        }
    }

    pub async fn look(self: Arc<Self>) -> Event {
        Event::Remote(self.coordinator.look().await)
    }

    pub async fn renew(self: Arc<Self>) {
        self.coordinator.renew().await;
    }
}
