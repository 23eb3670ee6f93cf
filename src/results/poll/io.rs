//! The reads and claims of one poll, as operations that end with an event.

use super::state::{ClaimTo, Event, ReadResult, Release};
use crate::{
    error::Error,
    results::{
        ImageSet,
        outcome::Outcome,
        polls::Polls,
        shared_cache::{Lease, RemoteState},
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
    /// None if replicas share nothing of this session.
    pub lease: Option<Lease>,
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
        let (mut outcome, images) = Outcome::split(read.result);
        if !outcome.is_terminal() {
            // A status that this version does not know may come with images. They are not cached.
            outcome.sent = ImageSet::NONE;
        }
        Ok(ReadResult { outcome, images, aws_request_id: read.aws_request_id })
    }

    /// Claims the lease. A replica that shares nothing gets it at once.
    pub async fn claim(self: Arc<Self>, to: ClaimTo) -> Event {
        let Some(lease) = &self.lease else { return Event::LeaseGranted(RemoteState::Unknown) };
        let claim = match to {
            ClaimTo::Queue => lease.claim_queue().await,
            ClaimTo::Read => lease.claim_read().await,
        };
        match claim.is_granted {
            true => Event::LeaseGranted(claim.remote),
            false => Event::LeaseDenied(claim.remote),
        }
    }

    /// Fetches what other replicas know.
    pub async fn look(self: Arc<Self>) -> Event {
        match &self.lease {
            Some(lease) => Event::Remote(lease.look().await),
            None => Event::Remote(RemoteState::Unknown),
        }
    }

    /// Renews the lease until another replica takes it.
    pub async fn renew(self: Arc<Self>) {
        match &self.lease {
            Some(lease) => lease.renew().await,
            None => std::future::pending().await,
        }
    }

    pub async fn release(&self, release: Release) {
        let Some(lease) = &self.lease else { return };
        match release {
            Release::Nothing => lease.release().await,
            Release::Pending(outcome) => lease.release_with_status(&outcome).await,
            Release::NotFound => lease.release_with_not_found().await,
        }
    }
}
