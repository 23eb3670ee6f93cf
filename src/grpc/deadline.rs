//! The time by which a call must have its response.
//!
//! tonic ends a call at its `grpc-timeout` by dropping it, which the caller sees as CANCELLED and a
//! mesh retries. So the service responds a little earlier, with what it knows.

use std::time::Duration;
use tokio::time::Instant;
use tonic::codegen::http::{HeaderMap, HeaderName};

/// The timeout of a call without one. The call's `wait` is added.
const DEFAULT: Duration = Duration::from_secs(30);

/// How long before the deadline the service responds: a tenth of the timeout, but at most the time
/// that it takes to write and send a response.
const MAX_HEAD_START: Duration = Duration::from_millis(50);

/// The longest timeout. gRPC allows 11,000 years; AWS forgets a session within minutes.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The deadline of a call.
#[derive(Clone, Copy)]
pub struct Deadline {
    respond_by: Instant,
    passes: Instant,
}

impl Deadline {
    /// Returns the deadline of a call that arrived at `now` with this timeout and this `wait`.
    pub fn of(timeout: Option<Duration>, now: Instant, wait: Duration) -> Self {
        let timeout = timeout.unwrap_or(DEFAULT + wait).min(MAX_TIMEOUT);
        let head_start = (timeout / 10).min(MAX_HEAD_START);
        Self { respond_by: now + (timeout - head_start), passes: now + timeout }
    }

    /// Returns the time by which the service responds.
    pub const fn respond_by(self) -> Instant {
        self.respond_by
    }

    /// Returns the time until the caller gives up.
    pub fn time_left(self) -> Duration {
        self.passes.saturating_duration_since(Instant::now())
    }
}

/// Returns the timeout that the caller set, if it set one that is valid.
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    headers.get(TIMEOUT).and_then(|value| parse(value.to_str().ok()?))
}

/// Parses a timeout: at most eight digits and a unit.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{
        prelude::*,
        test_runner::{Config, TestRunner},
    };
    use std::cell::Cell;

    fn deadline(text: &str) -> Duration {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().expect("a header value"));
        let now = Instant::now();
        Deadline::of(timeout(&headers), now, Duration::ZERO).respond_by() - now
    }

    #[test]
    fn the_service_responds_a_tenth_of_the_timeout_early_and_at_most_50_ms() {
        assert_eq!(deadline("100m"), Duration::from_millis(90));
        assert_eq!(deadline("2S"), Duration::from_millis(1_950));
        assert_eq!(deadline("99999999H"), MAX_TIMEOUT - Duration::from_millis(50));
    }

    #[test]
    fn a_call_without_a_valid_timeout_has_30_s() {
        for timeout in ["", "S", "1", "1x", "-1S", "+1S", "123456789S", "1 S"] {
            assert_eq!(deadline(timeout), DEFAULT - MAX_HEAD_START, "{timeout:?}");
        }
    }

    #[test]
    fn a_wait_is_added_to_the_default_timeout() {
        let now = Instant::now();
        let wait = Duration::from_secs(50);
        assert_eq!(Deadline::of(None, now, wait).respond_by() - now, DEFAULT + wait - MAX_HEAD_START);
    }

    /// Valid timeouts, almost valid ones, and any text.
    fn headers() -> impl Strategy<Value = String> {
        prop_oneof!["[0-9]{1,8}[HMSmun]", "[0-9 +.-]{0,10}[HMSmunhsNx ]?", "[ -~]{0,20}"]
    }

    /// The timeout in nanoseconds by gRPC's grammar: 1 to 8 digits and a unit.
    fn nanoseconds(header: &str) -> Option<u128> {
        let units = [
            ('H', 3_600_000_000_000),
            ('M', 60_000_000_000),
            ('S', 1_000_000_000),
            ('m', 1_000_000),
            ('u', 1_000),
            ('n', 1),
        ];
        let (digits, unit) = units.into_iter().find_map(|(name, unit)| Some((header.strip_suffix(name)?, unit)))?;
        let digits: Option<Vec<_>> = digits.chars().map(|digit| digit.to_digit(10)).collect();
        let digits = digits.filter(|digits| (1..=8).contains(&digits.len()))?;
        Some(digits.into_iter().fold(0, |count, digit| count * 10 + u128::from(digit)) * unit)
    }

    #[test]
    fn timeouts_follow_grpcs_grammar_and_others_are_ignored() {
        let [read, ignored] = [Cell::new(0), Cell::new(0)];
        let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
        let checked = TestRunner::new(config).run(&headers(), |header| {
            let expected = nanoseconds(&header);
            prop_assert_eq!(parse(&header).map(|timeout| timeout.as_nanos()), expected);
            // Without a timeout 30 s; at most 24 h; then a tenth or 50 ms less.
            let timeout = expected.unwrap_or(30_000_000_000).min(86_400_000_000_000);
            prop_assert_eq!(deadline(&header).as_nanos(), timeout - (timeout / 10).min(50_000_000));
            let count = if expected.is_some() { &read } else { &ignored };
            count.set(count.get() + 1);
            Ok(())
        });
        checked.unwrap();
        assert!(read.get() > 100 && ignored.get() > 100, "{read:?} read, {ignored:?} ignored");
    }
}
