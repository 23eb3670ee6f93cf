//! The sessions: when each begins, and when it ends.

use std::time::Duration;

/// AWS's quota and how many sessions are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    pub reads_per_second: u32,
    pub sessions: u32,
}

impl Account {
    /// us-east-1 and us-west-2: AWS's own quota and limit of sessions.
    pub const LARGE: Self = Self { reads_per_second: 25, sessions: 75 };
    /// Every other region.
    pub const SMALL: Self = Self { reads_per_second: 5, sessions: 15 };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// All sessions are in progress from the start, and finish evenly over 20 s.
    EvenFinish,
    /// For a minute each place is always taken: people hesitate for 2 to 40 s, and the check takes
    /// 6 to 12 s.
    RealChecks,
}

/// One session's life, counted from the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    pub begins: Duration,
    pub created_for: Duration,
    pub in_progress_for: Duration,
}

impl Life {
    pub fn ends(&self) -> Duration {
        self.begins + self.created_for + self.in_progress_for
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

    /// The lives of all sessions. The same for every run of a scenario, so that those who are
    /// compared meet the same.
    pub fn lives(self, account: Account) -> Vec<Life> {
        match self {
            Self::EvenFinish => (1..=account.sessions)
                .map(|number| Life {
                    begins: Duration::ZERO,
                    created_for: Duration::ZERO,
                    in_progress_for: EVEN_FINISH * number / account.sessions,
                })
                .collect(),
            Self::RealChecks => {
                let mut random = fastrand::Rng::with_seed(7);
                (0..account.sessions).flat_map(|_| place(&mut random)).collect()
            }
        }
    }
}

/// The sessions that follow each other in one of the places. The first is somewhere in its
/// hesitation when the run starts.
fn place(random: &mut fastrand::Rng) -> Vec<Life> {
    let mut lives = Vec::new();
    let mut begins = Duration::ZERO;
    while begins < REAL_CHECKS {
        let hesitates = between(random, 2.0, 40.0);
        let created_for = if lives.is_empty() { hesitates.mul_f64(random.f64()) } else { hesitates };
        let life = Life { begins, created_for, in_progress_for: between(random, 6.0, 12.0) };
        begins = life.ends();
        lives.push(life);
    }
    lives
}

fn between(random: &mut fastrand::Rng, low: f64, high: f64) -> Duration {
    Duration::from_secs_f64(low + random.f64() * (high - low))
}
