//! Results as the store has them, once opened: protobuf, so that another version of this program can read them.

use crate::{
    proto,
    results::{Images, Outcome},
};
use bytes::Bytes;
use prost_types::Timestamp;
use std::{
    fmt,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// What a read said but for the content of images, with the times that hold for all replicas.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Record {
    /// Nothing when AWS did not know the session.
    #[prost(message, optional, tag = "1")]
    pub result: Option<proto::LivenessResult>,
    #[prost(message, optional, tag = "2")]
    read_time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    expire_time: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    image_expire_time: Option<Timestamp>,
    #[prost(bool, tag = "5")]
    sent_reference: bool,
    #[prost(bool, tag = "6")]
    sent_audit: bool,
}

/// The content of images.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct ImagesRecord {
    #[prost(bytes = "bytes", tag = "1")]
    reference: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    audit: Vec<Bytes>,
}

impl Record {
    pub fn of(outcome: &Outcome) -> Self {
        Self {
            result: Some(outcome.result.clone()),
            read_time: Some(outcome.read_time.into()),
            expire_time: outcome.expire_time().map(Into::into),
            image_expire_time: outcome.image_expire_time().map(Into::into),
            sent_reference: outcome.sent.reference,
            sent_audit: outcome.sent.audit,
        }
    }

    /// The outcome as this process holds it, which is `longest` at most, whatever the clocks of two replicas make of it. `age` is how long ago it was
    /// read, when that is known better than by those clocks.
    pub fn outcome(self, longest: Duration, age: Option<Duration>) -> Option<Outcome> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let time = |timestamp: Option<Timestamp>| timestamp.and_then(|timestamp| SystemTime::try_from(timestamp).ok());
        let read_time = time(self.read_time)?;
        let age = age.unwrap_or_else(|| wall.duration_since(read_time).unwrap_or_default());
        // A machine that has just started has no such instants.
        let read_at = now.checked_sub(age).unwrap_or(now);
        let until = |expiry: Option<Timestamp>| match time(expiry) {
            Some(expiry) if expiry <= wall => read_at,
            Some(expiry) => {
                let whole = expiry.duration_since(read_time).unwrap_or_default();
                (read_at + whole.min(Duration::from_secs(400 * 24 * 3600))).min(now + longest)
            }
            None => read_at,
        };
        Some(Outcome {
            result: self.result?,
            read_time,
            read_at,
            arrived: now,
            is_shared: true,
            until: until(self.expire_time),
            images_until: until(self.image_expire_time),
            sent: crate::results::ImageSet { reference: self.sent_reference, audit: self.sent_audit },
        })
    }
}

impl ImagesRecord {
    pub fn of(images: &Images) -> Self {
        Self { reference: images.reference.clone(), audit: images.audit.clone() }
    }

    pub fn images(self) -> Images {
        Images { reference: self.reference, audit: self.audit }
    }
}

/// Says that there is something, and not what.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record(redacted)")
    }
}

impl fmt::Debug for ImagesRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImagesRecord(redacted)")
    }
}
