//! The sessions of a run, the quota, and what the callers read from.

use std::time::Duration;

/// AWS's quota, and the number of concurrent sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    pub reads_per_second: u32,
    pub sessions: u32,
}

impl Account {
    /// AWS's default quota and session limit in us-east-1 and us-west-2.
    pub const LARGE: Self = Self { reads_per_second: 25, sessions: 75 };
    /// AWS's defaults in every other region.
    pub const SMALL: Self = Self { reads_per_second: 5, sessions: 15 };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// All sessions are in progress from the start, and finish one after the other in 20 s.
    EvenFinish,
    /// For a minute, a new session starts whenever one ends. It is CREATED for 2 to 40 s, and
    /// IN_PROGRESS for 6 to 12 s.
    RealChecks,
}

/// What the callers read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setup {
    SdkStandard,
    SdkAdaptive,
    Polling,
    Waiting,
    /// The service is configured with four times the quota, as if others used three quarters of it.
    WaitingWithQuadrupleQuota,
    /// Five replicas with a shared cache. The callers of a session use different ones.
    WaitingOnSharingReplicas,
    /// Five replicas without a shared cache, each with a fifth of the quota.
    WaitingOnSeparateReplicas,
}

impl Setup {
    pub fn name(self) -> &'static str {
        match self {
            Self::SdkStandard => "AWS SDK, standard retries",
            Self::SdkAdaptive => "AWS SDK, adaptive retries",
            Self::Polling => "this service, polling",
            Self::Waiting => "this service, wait",
            Self::WaitingWithQuadrupleQuota => "this service, wait, others took 3/4",
            Self::WaitingOnSharingReplicas => "five replicas that share, wait",
            Self::WaitingOnSeparateReplicas => "five replicas apart, wait",
        }
    }
}

/// The times of a session, from the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct SessionTimes {
    pub start: Duration,
    pub created_for: Duration,
    pub in_progress_for: Duration,
}

impl SessionTimes {
    pub fn end(&self) -> Duration {
        self.start + self.created_for + self.in_progress_for
    }
}

const EVEN_FINISH: Duration = Duration::from_secs(20);
const REAL_CHECKS: Duration = Duration::from_secs(60);

impl Scenario {
    pub fn name(self) -> &'static str {
        match self {
            Self::EvenFinish => "even finish",
            Self::RealChecks => "real checks",
        }
    }

    /// Returns the times of all sessions. They are the same in every run, so that runs can be
    /// compared.
    pub fn sessions(self, account: Account) -> Vec<SessionTimes> {
        match self {
            Self::EvenFinish => (1..=account.sessions)
                .map(|number| SessionTimes {
                    start: Duration::ZERO,
                    created_for: Duration::ZERO,
                    in_progress_for: EVEN_FINISH * number / account.sessions,
                })
                .collect(),
            Self::RealChecks => {
                let mut random = fastrand::Rng::with_seed(7);
                (0..account.sessions).flat_map(|_| consecutive_sessions(&mut random)).collect()
            }
        }
    }
}

/// Returns sessions that follow each other. The first one was created before the run starts.
fn consecutive_sessions(random: &mut fastrand::Rng) -> Vec<SessionTimes> {
    let mut sessions = Vec::new();
    let mut start = Duration::ZERO;
    while start < REAL_CHECKS {
        let hesitation = between(random, 2.0, 40.0);
        let created_for = if sessions.is_empty() { hesitation.mul_f64(random.f64()) } else { hesitation };
        let session = SessionTimes { start, created_for, in_progress_for: between(random, 6.0, 12.0) };
        start = session.end();
        sessions.push(session);
    }
    sessions
}

fn between(random: &mut fastrand::Rng, low: f64, high: f64) -> Duration {
    Duration::from_secs_f64(low + random.f64() * (high - low))
}
