//! When a request has to be answered.
//!
//! tonic ends a call at its `grpc-timeout` by dropping it, which the caller sees as CANCELLED and a
//! mesh retries. So the service answers a little earlier, and says what it knows.

use std::time::Duration;
use tokio::time::Instant;
use tonic::codegen::http::{HeaderMap, HeaderName};

/// A caller that gives no deadline gets a bound all the same: this, and as long as it is willing to
/// wait.
const DEFAULT: Duration = Duration::from_secs(30);

/// The head start of the answer: a tenth of the time, and no more than an answer needs to be
/// written and sent.
const MAX_HEAD_START: Duration = Duration::from_millis(50);

/// No answer takes a day: AWS forgets a session in minutes. A caller may name 11,000 years.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

#[derive(Clone, Copy)]
pub struct Deadline {
    answer_by: Instant,
    passes: Instant,
}

impl Deadline {
    /// The deadline of a request that arrived at `now` with this timeout and may be held for
    /// `wait`.
    pub fn of(timeout: Option<Duration>, now: Instant, wait: Duration) -> Self {
        let timeout = timeout.unwrap_or(DEFAULT + wait).min(LONGEST);
        let head_start = (timeout / 10).min(MAX_HEAD_START);
        Self { answer_by: now + (timeout - head_start), passes: now + timeout }
    }

    pub const fn answer_by(self) -> Instant {
        self.answer_by
    }

    pub fn time_left(self) -> Duration {
        self.passes.saturating_duration_since(Instant::now())
    }
}

/// The timeout that the caller set; nothing when it set none, or one that cannot be read.
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    headers.get(TIMEOUT).and_then(|value| parse(value.to_str().ok()?))
}

/// A timeout as gRPC spells it: at most eight digits and a unit.
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
        Deadline::of(timeout(&headers), now, Duration::ZERO).answer_by() - now
    }

    #[test]
    fn the_answer_comes_a_tenth_before_the_deadline_and_at_most_50_ms() {
        assert_eq!(deadline("100m"), Duration::from_millis(90));
        assert_eq!(deadline("2S"), Duration::from_millis(1_950));
        assert_eq!(deadline("99999999H"), LONGEST - Duration::from_millis(50));
    }

    #[test]
    fn a_call_without_a_readable_deadline_has_30_s() {
        for timeout in ["", "S", "1", "1x", "-1S", "+1S", "123456789S", "1 S"] {
            assert_eq!(deadline(timeout), DEFAULT - MAX_HEAD_START, "{timeout:?}");
        }
    }

    #[test]
    fn a_call_that_waits_has_as_much_longer() {
        let now = Instant::now();
        let wait = Duration::from_secs(50);
        assert_eq!(Deadline::of(None, now, wait).answer_by() - now, DEFAULT + wait - MAX_HEAD_START);
    }

    /// Headers as gRPC spells them, some that are nearly so, and any text.
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
    fn a_timeout_is_read_by_grpcs_grammar_and_any_other_header_is_ignored() {
        let [read, ignored] = [Cell::new(0), Cell::new(0)];
        let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
        let checked = TestRunner::new(config).run(&headers(), |header| {
            let expected = nanoseconds(&header);
            prop_assert_eq!(parse(&header).map(|timeout| timeout.as_nanos()), expected);
            // 30 s if there is no timeout, 24 h at most, and a tenth of it earlier, 50 ms at most.
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
