//! The decrypted values of the shared cache: protobuf, so that another version of this program can
//! read them.

use crate::{
    proto,
    results::session_result::{ImageSet, Images, SessionResult},
};
use bytes::Bytes;
use prost_types::Timestamp;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A read without the content of images, with wall-clock times for all replicas. It holds personal
/// data, so it cannot be printed.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Record {
    /// None if AWS did not know the session.
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

/// The content of images. It cannot be printed either.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct ImagesRecord {
    #[prost(bytes = "bytes", tag = "1")]
    reference: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    audit: Vec<Bytes>,
}

impl Record {
    pub fn of(result: &SessionResult) -> Self {
        Self {
            result: Some(result.message.clone()),
            read_time: Some(result.read_time.into()),
            expire_time: result.expire_time().map(Into::into),
            image_expire_time: result.image_expire_time().map(Into::into),
            sent_reference: result.sent.reference,
            sent_audit: result.sent.audit,
        }
    }

    /// Returns the result with the times of this process. It expires within `max_ttl`, even if the
    /// clocks of two replicas differ. `age` is the time since the read, if it is known without
    /// them.
    pub fn into_result(self, max_ttl: Duration, age: Option<Duration>) -> Option<SessionResult> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let time = |timestamp: Option<Timestamp>| timestamp.and_then(|timestamp| SystemTime::try_from(timestamp).ok());
        let read_time = time(self.read_time)?;
        let age = age.unwrap_or_else(|| wall.duration_since(read_time).unwrap_or_default());
        // After a boot, there is no such early instant.
        let read_at = now.checked_sub(age).unwrap_or(now);
        let expires_at = |expiry: Option<Timestamp>| match time(expiry) {
            Some(expiry) if expiry <= wall => read_at,
            Some(expiry) => {
                let ttl = expiry.duration_since(read_time).unwrap_or_default();
                (read_at + ttl.min(Duration::from_secs(400 * 24 * 3600))).min(now + max_ttl)
            }
            None => read_at,
        };
        Some(SessionResult {
            message: self.result?,
            read_time,
            read_at,
            arrived: now,
            is_shared: true,
            expires_at: expires_at(self.expire_time),
            images_expire_at: expires_at(self.image_expire_time),
            sent: ImageSet { reference: self.sent_reference, audit: self.sent_audit },
        })
    }
}

impl ImagesRecord {
    pub fn of(images: &Images) -> Self {
        Self { reference: images.reference.clone(), audit: images.audit.clone() }
    }

    pub fn into_images(self) -> Images {
        Images { reference: self.reference, audit: self.audit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_TTL: Duration = Duration::from_secs(3600);

    /// Returns the record of a replica whose clock shows `read_time`, with this TTL.
    fn record(read_time: SystemTime, ttl: Duration) -> Record {
        let expire_time = Some((read_time + ttl).into());
        let result = Some(proto::LivenessResult::default());
        Record { result, read_time: Some(read_time.into()), expire_time, ..Record::default() }
    }

    /// Returns the remaining TTL of a record: zero if it has expired.
    fn left(record: Record, age: Option<Duration>) -> Duration {
        let result = record.into_result(MAX_TTL, age).expect("a result and a time");
        result.expires_at.saturating_duration_since(Instant::now())
    }

    fn is_about(left: Duration, seconds: u64) -> bool {
        left.abs_diff(Duration::from_secs(seconds)) < Duration::from_secs(30)
    }

    #[test]
    fn a_result_keeps_its_remaining_ttl() {
        let read_time = SystemTime::now() - Duration::from_secs(1000);
        assert!(is_about(left(record(read_time, Duration::from_secs(3000)), None), 2000));
    }

    #[test]
    fn an_expired_result_has_no_ttl_left() {
        let read_time = SystemTime::now() - Duration::from_secs(1000);
        assert_eq!(left(record(read_time, Duration::from_secs(999)), None), Duration::ZERO);
        assert_eq!(left(Record { expire_time: None, ..record(read_time, MAX_TTL) }, None), Duration::ZERO);
    }

    #[test]
    fn the_clock_of_another_replica_never_extends_the_ttl_beyond_its_limit() {
        let ahead = SystemTime::now() + Duration::from_secs(86_400);
        assert!(is_about(left(record(ahead, Duration::from_secs(1000)), None), 1000));
        assert!(left(record(ahead, Duration::from_secs(500_000)), None) <= MAX_TTL);
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(200_000_000_000);
        assert!(left(record(far, Duration::from_secs(100_000_000)), None) <= MAX_TTL);
    }

    #[test]
    fn a_known_age_takes_precedence_over_clocks_that_differ() {
        let behind = SystemTime::now() - Duration::from_secs(500);
        let result = record(behind, MAX_TTL).into_result(MAX_TTL, Some(Duration::from_millis(300))).expect("a result");
        assert!(result.read_at.elapsed() < Duration::from_secs(30));
        assert_eq!(result.read_time, behind, "responses have the time of the reader's clock");
    }

    #[test]
    fn the_age_of_a_result_counts_from_the_read_of_another_replica() {
        let age = |read_time| record(read_time, MAX_TTL).into_result(MAX_TTL, None).expect("a result").age();
        let now = SystemTime::now();
        // Also if this machine started after the read.
        assert!(is_about(age(now - Duration::from_secs(40_000_000)), 40_000_000));
        assert!(is_about(age(now), 0));
        assert!(is_about(age(now + Duration::from_secs(600)), 0), "a clock that is ahead yields no negative age");
    }

    #[test]
    fn a_record_without_a_time_or_a_message_is_no_result() {
        let whole = record(SystemTime::now(), MAX_TTL);
        assert!(Record { read_time: None, ..whole.clone() }.into_result(MAX_TTL, None).is_none());
        assert!(Record { result: None, ..whole }.into_result(MAX_TTL, None).is_none());
    }
}
