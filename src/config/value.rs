//! Parsers of values. An error says what the value must be.

use bytesize::ByteSize;
use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // No other text may be an error, which is logged with the value.
        if text.is_empty() { Err("must have one; unset it to use none") } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// A client name, or a prefix of names such as `spiffe://example.org/ns/checkout/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    text: String,
    is_prefix: bool,
}

impl FromStr for NamePattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let prefix = text.strip_suffix('*');
        let name = prefix.unwrap_or(text);
        let is_plain = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*' && byte != b',');
        if text.is_empty() || !is_plain {
            return Err("must be a SPIFFE id or a DNS name, with a * at its end only");
        }
        Ok(Self { text: name.to_owned(), is_prefix: prefix.is_some() })
    }
}

impl NamePattern {
    pub fn matches(&self, name: &str) -> bool {
        if self.is_prefix { name.starts_with(&self.text) } else { name == self.text }
    }
}

/// The range of a threshold, on AWS's scale of confidence.
pub const MIN_CONFIDENCE_RULE: &str = "must be above 1 and at most 100, AWS's scale of confidence";

/// Whether a threshold obeys [`MIN_CONFIDENCE_RULE`].
pub fn is_min_confidence(threshold: f32) -> bool {
    threshold > 1.0 && threshold <= 100.0
}

pub fn min_confidence(text: &str) -> Result<f32, &'static str> {
    text.parse().ok().filter(|threshold| is_min_confidence(*threshold)).ok_or(MIN_CONFIDENCE_RULE)
}

pub fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an IP address and a port, such as 0.0.0.0:50051 or [::]:50051")
}

/// The units of a size. bytesize also knows `m`, `M` and `mb`, which others read as 1024² bytes, bits
/// or thousandths.
const SIZE_UNITS: [&str; 10] = ["B", "kB", "MB", "GB", "KiB", "MiB", "GiB", "Ki", "Mi", "Gi"];

pub fn size(text: &str) -> Result<ByteSize, &'static str> {
    let unit = text.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.');
    let has_unit = SIZE_UNITS.contains(&unit.strip_prefix(' ').unwrap_or(unit));
    text.parse().ok().filter(|_| has_unit || text == "0").ok_or(
        "must be 0 or a number with one of the units KiB, MiB, GiB, kB, MB, GB or B, such as 256MiB (upper and lower case differ)",
    )
}

/// The units of a duration. humantime also knows `M`, a month, and longer names.
const DURATION_UNITS: [&str; 5] = ["ms", "s", "m", "h", "d"];

/// At most a year, which every clock can add.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    // One space may follow a unit. Elsewhere, humantime joins what it separates: 1 30s is 130 s.
    let mut units = text.split(|character: char| character.is_ascii_digit()).filter(|unit| !unit.is_empty());
    let are_known = units.all(|unit| DURATION_UNITS.contains(&unit.strip_suffix(' ').unwrap_or(unit)));
    match humantime::parse_duration(text) {
        Ok(duration) if are_known && duration <= Duration::from_secs(365 * 24 * 3600) => Ok(duration),
        Ok(_) | Err(humantime::DurationError::NumberOverflow) if are_known => Err("must be at most a year, 365d"),
        _ => Err(
            "must be 0 or whole numbers, each with one of the units ms, s, m (minutes), h or d, such as 500ms, 5s or 1h30m",
        ),
    }
}

pub fn positive_duration(text: &str) -> Result<Duration, &'static str> {
    duration(text).and_then(|duration| match duration {
        Duration::ZERO => Err("must be above zero"),
        _ => Ok(duration),
    })
}

/// At least 10 ms: without a pause between reads, one session would use the whole quota.
pub fn pending_ttl(text: &str) -> Result<Duration, &'static str> {
    duration(text).and_then(|duration| match duration {
        _ if duration < Duration::from_millis(10) => Err("must be at least 10ms"),
        _ => Ok(duration),
    })
}

pub fn count(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|count| (1..=1_000_000).contains(count)).ok_or("must be a whole number from 1 to 1000000")
}

pub fn entries(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "must be a whole number")
}
