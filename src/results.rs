//! The result of a session, from memory or from AWS.
//!
//! A request goes one way: what is held is answered; what is not is read, once for all who ask, and kept if it is final. AWS's
//! types and gRPC's are not known here.

mod cache;
mod outcome;
mod single_flight;

pub use cache::Limits;
pub use outcome::{ImageSet, Images, Outcome};

use crate::{
    error::{Error, Reason},
    proto,
    rekognition::Rekognition,
    session::SessionId,
};
use cache::Cache;
use single_flight::SingleFlight;
use std::{sync::Arc, time::Duration};

/// What a caller is told of a session. Cheap to clone: everybody who shared a read gets one.
#[derive(Clone)]
pub struct Answer {
    pub outcome: Arc<Outcome>,
    /// Image content as far as it is held; nothing when it was not asked for or is held no more.
    pub images: Option<Arc<Images>>,
    pub source: Source,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Upstream,
    Cache,
}

/// At most so many HTTP attempts make one read. A third one turns most short troubles into an answer; more would spend a quota of
/// 5 or 25 a second on a trouble that lasts.
const ATTEMPTS: u32 = 3;

/// The longest pause before the second attempt; it doubles before the third. AWS refills its quota within a second.
const BACKOFF: Duration = Duration::from_millis(200);

/// The results of all sessions. Cheap to clone.
#[derive(Clone)]
pub struct Results {
    cache: Arc<Cache>,
    reads: SingleFlight,
    rekognition: Rekognition,
}

impl Results {
    pub fn new(rekognition: Rekognition, limits: Limits) -> Self {
        Self { cache: Arc::new(Cache::new(limits)), reads: SingleFlight::default(), rekognition }
    }

    /// The session's state, and the content of `wanted` images as far as it can be had.
    ///
    /// # Errors
    /// Every reason that a read can end with. Dropping the future costs nobody else anything.
    pub async fn get(&self, id: SessionId, wanted: ImageSet) -> Result<Answer, Error> {
        let held = self.cache.answer(id, wanted).await;
        if let Some(answer) = held.as_ref().filter(|held| !self.lacks_images(held, wanted)) {
            return Ok(answer.clone());
        }
        let read = match self.cache.not_found(id).await {
            Some(error) => Err(error),
            None => self.read(id).await,
        };
        match held {
            // The faces had to make room. When AWS does not have them any more either, the outcome is still an answer.
            Some(held) => Ok(read.ok().filter(|answer| answer.outcome.is_terminal()).unwrap_or(held)),
            None => read,
        }
    }

    /// Frees what has expired, for as long as it is polled.
    pub async fn maintain(&self) {
        self.cache.maintain().await;
    }

    async fn read(&self, id: SessionId) -> Result<Answer, Error> {
        let this = self.clone();
        self.reads.join(id, || async move { this.read_alone(id).await }).await
    }

    async fn read_alone(&self, id: SessionId) -> Result<Answer, Error> {
        // Another read may have ended after this caller had looked and before its turn came.
        let held = self.cache.answer(id, ImageSet::ALL).await;
        if let Some(answer) = held.filter(|held| !self.lacks_images(held, ImageSet::ALL)) {
            return Ok(answer);
        }
        match self.attempts(id).await {
            Ok(result) => {
                let (outcome, images) = Outcome::split(result);
                Ok(self.cache.keep(id, outcome, images).await)
            }
            Err(error) if error.reason == Reason::SessionNotFound => Err(self.cache.keep_not_found(id, error).await),
            Err(error) => Err(error),
        }
    }

    /// Whether another read could add image content that is wanted and not held.
    fn lacks_images(&self, answer: &Answer, wanted: ImageSet) -> bool {
        answer.images.is_none() && self.cache.may_be_read_again(&answer.outcome, wanted)
    }

    async fn attempts(&self, id: SessionId) -> Result<proto::LivenessResult, Error> {
        let mut pause = BACKOFF;
        for _ in 1..ATTEMPTS {
            match self.rekognition.read(id).await {
                Err(error) if error.is_transient() => tokio::time::sleep(pause.mul_f64(fastrand::f64())).await,
                end => return end,
            }
            pause *= 2;
        }
        self.rekognition.read(id).await
    }
}
