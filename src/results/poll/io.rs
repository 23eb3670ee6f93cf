//! The read of a poll.

use super::{context::PollContext, state::ReadResult};
use crate::{
    error::Error,
    results::{
        coordinator::Coordinator,
        session_result::{ImageSet, SessionResult},
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
}
