//! Random setups of a poll, and random steps.

use crate::{
    error::Reason,
    proto::{LivenessResult, LivenessStatus},
    results::session_result::SessionResult,
};
use proptest::prelude::*;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

#[derive(Clone, Debug)]
pub struct Setup {
    pub start: u8,
    pub is_shared: bool,
    pub is_limited: bool,
    pub capture: bool,
    pub seed: u64,
    pub earliest_millis: u64,
}

/// One random step. A step that is impossible in the current state does nothing.
#[derive(Clone, Debug)]
pub enum Step {
    Advance(u64),
    Subscribe {
        waits: bool,
    },
    HangUp(usize),
    /// All subscribers hang up, and the grace period is over.
    HangUpAll,
    /// The grace period after the last subscriber is over.
    GracePeriod,
    Permit,
    /// The claim, look or read in progress completes.
    Complete {
        is_granted: bool,
        remote: RemoteKind,
        read: ReadKind,
    },
    LoseLease,
}

#[derive(Clone, Copy, Debug)]
pub enum RemoteKind {
    Unknown,
    /// A status of this age in milliseconds.
    Pending(u64),
    Final,
    NotFound,
    WasNotFound,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReadKind {
    Created,
    InProgress,
    Final,
    Error(Reason),
    ClockOff,
}

fn remote_kind() -> impl Strategy<Value = RemoteKind> {
    prop_oneof![
        6 => Just(RemoteKind::Unknown),
        3 => (0..2_000_u64).prop_map(RemoteKind::Pending),
        1 => Just(RemoteKind::Final),
        1 => Just(RemoteKind::NotFound),
        1 => Just(RemoteKind::WasNotFound),
    ]
}

fn read_kind() -> impl Strategy<Value = ReadKind> {
    prop_oneof![
        4 => Just(ReadKind::Created),
        4 => Just(ReadKind::InProgress),
        1 => Just(ReadKind::Final),
        2 => Just(ReadKind::Error(Reason::UpstreamThrottled)),
        3 => Just(ReadKind::Error(Reason::UpstreamUnavailable)),
        1 => Just(ReadKind::Error(Reason::UpstreamAccessDenied)),
        1 => Just(ReadKind::Error(Reason::SessionNotFound)),
        1 => Just(ReadKind::ClockOff),
    ]
}

pub fn setup() -> impl Strategy<Value = Setup> {
    (0..4_u8, any::<bool>(), any::<bool>(), any::<bool>(), any::<u64>(), 0..3_000_u64).prop_map(
        |(start, is_shared, is_limited, capture, seed, earliest_millis)| Setup {
            start,
            is_shared,
            is_limited,
            capture,
            seed,
            earliest_millis,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![0..50_u64, 50..6_000_u64].prop_map(Step::Advance),
        2 => any::<bool>().prop_map(|waits| Step::Subscribe { waits }),
        1 => any::<usize>().prop_map(Step::HangUp),
        1 => Just(Step::GracePeriod),
        2 => Just(Step::HangUpAll),
        6 => Just(Step::Permit),
        5 => (any::<bool>(), remote_kind(), read_kind())
            .prop_map(|(is_granted, remote, read)| Step::Complete { is_granted, remote, read }),
        1 => Just(Step::LoseLease),
    ]
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..80)
}

/// Returns a status of this age. No two have the same read time.
pub fn result(status: LivenessStatus, now: Instant, age_millis: u64) -> SessionResult {
    let message = LivenessResult { status: status.into(), ..Default::default() };
    let (mut result, _) = SessionResult::split(message);
    result.read_at = now - Duration::from_millis(age_millis);
    result.read_time = SystemTime::UNIX_EPOCH + Duration::from_nanos(fastrand::u64(..));
    result
}
