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
        if text.is_empty() || text == "." || !is_plain {
            return Err("must be a SPIFFE id or a DNS name, with a * at its end only");
        }
        // Any letter can follow a prefix.
        if is_uri(name) && !is_safe_uri(&prefix.map_or(name.to_owned(), |prefix| format!("{prefix}a"))) {
            return Err("must be a SPIFFE id that a client can have: the trust domain in lower case, and \
                 letters, digits, dots, dashes and underscores in the path, without . and .. as a segment");
        }
        let name = if prefix.is_none() { without_final_dot(name) } else { name };
        Ok(Self { text: name.to_owned(), is_prefix: prefix.is_some() })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

impl NamePattern {
    /// Returns whether a client with this name is meant. Case and a final dot do not distinguish
    /// DNS names. A URI that is not safe matches nothing.
    pub fn matches(&self, name: &str) -> bool {
        let is_uri = is_uri(name);
        let name = if is_uri { name } else { without_final_dot(name) };
        let length = if self.is_prefix { self.text.len() } else { name.len() };
        let Some(compared) = name.get(..length) else { return false };
        match is_uri {
            true => compared == self.text && is_safe_uri(name),
            false => compared.eq_ignore_ascii_case(&self.text),
        }
    }
}

/// Returns whether a client's name is a URI, and not a DNS name.
fn is_uri(name: &str) -> bool {
    name.contains(':')
}

fn without_final_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Returns whether a URI is below the path that it begins with. A SPIFFE id must follow its
/// specification, which allows one spelling. Any other URI must not have a `.` or `..` segment.
/// <https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md>
fn is_safe_uri(uri: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let scheme = uri.split(':').next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("spiffe") {
        let decoded = uri.to_ascii_lowercase().replace("%2e", ".");
        return !decoded.split(['/', '?', '#']).any(|segment| matches!(segment, "." | ".."));
    }
    let Some(id) = uri.strip_prefix("spiffe://") else { return false };
    let (domain, path) = id.split_once('/').map_or((id, None), |(domain, path)| (domain, Some(path)));
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..") && segment.bytes().all(|byte| is_plain(byte.to_ascii_lowercase()))
    };
    !domain.is_empty() && domain.bytes().all(is_plain) && path.is_none_or(|path| path.split('/').all(is_segment))
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

/// The units of a size. bytesize also knows `m`, `M` and `mb`, which others read as 1024² bytes,
/// bits or thousandths.
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
    let mut units =
        text.split(|character: char| character.is_ascii_digit() || character == '.').filter(|unit| !unit.is_empty());
    let are_known = units.all(|unit| DURATION_UNITS.contains(&unit.strip_suffix(' ').unwrap_or(unit)));
    match humantime::parse_duration(text) {
        Ok(duration) if are_known && duration <= Duration::from_secs(365 * 24 * 3600) => Ok(duration),
        Ok(_) | Err(humantime::DurationError::NumberOverflow) if are_known => Err("must be at most a year, 365d"),
        _ => Err(
            "must be 0 or numbers, each with one of the units ms, s, m (minutes), h or d, such as 500ms, 5s or 1h30m",
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
