//! How a value is spelled: durations, sizes, addresses, thresholds. A bad one is told what it must
//! be.

use crate::grpc;
use bytesize::ByteSize;
use std::{net::SocketAddr, time::Duration};

pub fn min_confidence(text: &str) -> Result<f32, &'static str> {
    text.parse().ok().filter(|threshold| grpc::is_min_confidence(*threshold)).ok_or(grpc::MIN_CONFIDENCE_RULE)
}

pub fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an IP address and a port, such as 0.0.0.0:50051 or [::]:50051")
}

pub fn size(text: &str) -> Result<ByteSize, &'static str> {
    text.parse().map_err(|_| "must be a size such as 256MiB")
}

/// A year is longer than anything here has to last, and short enough for every clock.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration > Duration::from_secs(365 * 24 * 3600) => Err("must be a year at most"),
        Ok(duration) => Ok(duration),
        Err(_) => Err("must be a duration such as 500ms, 5s or 1h"),
    }
}

pub fn positive_duration(text: &str) -> Result<Duration, &'static str> {
    duration(text).and_then(|duration| match duration {
        Duration::ZERO => Err("must be longer than nothing"),
        _ => Ok(duration),
    })
}

/// Without a pause between reads a single session would take the whole quota.
pub fn pending_ttl(text: &str) -> Result<Duration, &'static str> {
    duration(text).and_then(|duration| match duration {
        _ if duration < Duration::from_millis(10) => Err("must be 10ms at least"),
        _ => Ok(duration),
    })
}

pub fn count(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|count| (1..=1_000_000).contains(count)).ok_or("must be a whole number from 1 to 1000000")
}

pub fn entries(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "must be a whole number")
}
