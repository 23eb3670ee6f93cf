//! The clock that signs reads: the local clock, corrected once AWS has rejected a signature.
//!
//! The SDK would take the time from every response, also from a 200 with a wrong date. But a 200
//! proves that the time of its signature was right.

use aws_sdk_rekognition::{
    config::http::HttpResponse,
    primitives::{DateTime, DateTimeFormat},
};
use aws_types::sdk_config::TimeSource;
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

/// AWS accepts signatures up to five minutes off. Its responses have a resolution of one second.
const MAX_SKEW_SECONDS: u64 = 4 * 60;

/// The dates that AWS can have, from 2020 to 2100. With any other, no read could be signed.
const DATES: Range<i64> = 1_577_836_800..4_102_444_800;

/// The local clock plus a correction. Clones share the correction.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    correction_seconds: Arc<AtomicI64>,
}

impl Clock {
    /// Returns the seconds that are added to the local time.
    pub fn correction(&self) -> i64 {
        self.correction_seconds.load(Relaxed)
    }

    /// Corrects the clock by a response that rejects a signature made with `correction`. Returns
    /// whether the signature's time was wrong.
    pub fn learn(&self, rejection: &HttpResponse, correction: i64) -> bool {
        let date = rejection.headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        let Some(date) = date.filter(|date| DATES.contains(&date.secs())) else { return false };
        let right = date.secs() - DateTime::from(SystemTime::now()).secs();
        let was_wrong = right.abs_diff(correction) > MAX_SKEW_SECONDS;
        if was_wrong {
            self.correction_seconds.store(right, Relaxed);
        }
        was_wrong
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        let (local, correction) = (SystemTime::now(), self.correction());
        let distance = Duration::from_secs(correction.unsigned_abs());
        let corrected = if correction < 0 { local.checked_sub(distance) } else { local.checked_add(distance) };
        corrected.unwrap_or(local)
    }
}
