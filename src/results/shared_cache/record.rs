//! Results as the store has them, once opened: protobuf, so that another version of this program
//! can read them.

use crate::{
    proto,
    results::{Images, SessionResult},
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
    pub fn of(outcome: &SessionResult) -> Self {
        Self {
            result: Some(outcome.message.clone()),
            read_time: Some(outcome.read_time.into()),
            expire_time: outcome.expire_time().map(Into::into),
            image_expire_time: outcome.image_expire_time().map(Into::into),
            sent_reference: outcome.sent.reference,
            sent_audit: outcome.sent.audit,
        }
    }

    /// The outcome as this process holds it, which is `longest` at most, whatever the clocks of two
    /// replicas make of it. `age` is how long ago it was read, when that is known better than by
    /// those clocks.
    pub fn outcome(self, longest: Duration, age: Option<Duration>) -> Option<SessionResult> {
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
        Some(SessionResult {
            message: self.result?,
            read_time,
            read_at,
            arrived: now,
            is_shared: true,
            expires_at: until(self.expire_time),
            images_expire_at: until(self.image_expire_time),
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

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(3600);

    /// A record as a replica whose clock is at `read_time` makes it, for `held` from then on.
    fn record(read_time: SystemTime, held: Duration) -> Record {
        let expire_time = Some((read_time + held).into());
        let result = Some(proto::LivenessResult::default());
        Record { result, read_time: Some(read_time.into()), expire_time, ..Record::default() }
    }

    /// How long the outcome of that record is held from now on; nothing when it is not.
    fn left(record: Record, age: Option<Duration>) -> Duration {
        let outcome = record.outcome(LONGEST, age).expect("a result and a time");
        outcome.expires_at.saturating_duration_since(Instant::now())
    }

    fn is_about(left: Duration, seconds: u64) -> bool {
        left.abs_diff(Duration::from_secs(seconds)) < Duration::from_secs(30)
    }

    #[test]
    fn an_outcome_is_held_only_for_what_is_left() {
        let read_time = SystemTime::now() - Duration::from_secs(1000);
        assert!(is_about(left(record(read_time, Duration::from_secs(3000)), None), 2000));
    }

    #[test]
    fn an_outcome_that_has_expired_is_not_held() {
        let read_time = SystemTime::now() - Duration::from_secs(1000);
        assert_eq!(left(record(read_time, Duration::from_secs(999)), None), Duration::ZERO);
        assert_eq!(left(Record { expire_time: None, ..record(read_time, LONGEST) }, None), Duration::ZERO);
    }

    #[test]
    fn no_clock_of_another_replica_makes_it_held_longer_than_the_longest() {
        let ahead = SystemTime::now() + Duration::from_secs(86_400);
        assert!(is_about(left(record(ahead, Duration::from_secs(1000)), None), 1000));
        assert!(left(record(ahead, Duration::from_secs(500_000)), None) <= LONGEST);
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(200_000_000_000);
        assert!(left(record(far, Duration::from_secs(100_000_000)), None) <= LONGEST);
    }

    #[test]
    fn an_age_that_the_store_knows_counts_more_than_clocks_that_are_apart() {
        let behind = SystemTime::now() - Duration::from_secs(500);
        let outcome = record(behind, LONGEST).outcome(LONGEST, Some(Duration::from_millis(300))).expect("a result");
        assert!(outcome.read_at.elapsed() < Duration::from_secs(30));
        assert_eq!(outcome.read_time, behind, "callers are told the reader's own time");
    }

    #[test]
    fn what_has_no_time_or_no_result_is_no_outcome() {
        let whole = record(SystemTime::now(), LONGEST);
        assert!(Record { read_time: None, ..whole.clone() }.outcome(LONGEST, None).is_none());
        assert!(Record { result: None, ..whole }.outcome(LONGEST, None).is_none());
    }

    #[test]
    fn nothing_of_a_record_is_printed() {
        let whole = record(SystemTime::now(), LONGEST);
        let images = ImagesRecord { reference: Bytes::from_static(b"face"), audit: Vec::new() };
        assert_eq!(format!("{whole:?} {images:?}"), "Record(redacted) ImagesRecord(redacted)");
    }
}
