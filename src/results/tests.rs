//! Tests of the session reader, with the real SDK and the simulator in the same process. The clock
//! is paused: it advances when all tasks wait.
#![cfg(feature = "simulator")]

mod capture;
mod failures;
mod quota;
mod waits;

use super::*;
use crate::{
    proto::LivenessStatus,
    simulator::{self, Fault, FaultKind, Pace, Session, Simulator, Status},
};
use tokio::{task::JoinHandle, time::Instant};

struct Fixture {
    simulator: Simulator,
    results: SessionReader,
}

const SETTINGS: ReaderSettings = ReaderSettings {
    limits: CacheLimits {
        result_ttl: Duration::from_secs(3600),
        result_entries: 1000,
        image_ttl: Duration::from_secs(300),
        image_bytes: 1 << 24,
        images: ImageSet::ALL,
        not_found_ttl: Duration::from_secs(2),
    },
    pending_ttl: Duration::from_millis(500),
    capture: true,
    rate: Some(25.0),
    replicas: 1,
    min_confidence: None,
};

impl Fixture {
    fn start() -> Self {
        Self::with(SETTINGS, simulator::Config { latency: Duration::from_millis(30), ..Default::default() })
    }

    fn with(settings: ReaderSettings, config: simulator::Config) -> Self {
        let simulator = Simulator::new(config);
        let rekognition = Rekognition::in_process(&simulator, Duration::from_secs(5));
        let registry = Registry::default();
        let results = SessionReader::new(rekognition, settings, None, &registry, Arc::new(SessionRefKey::random()));
        let mut tasks = Tasks::default();
        results.spawn_tasks(&mut tasks);
        tokio::spawn(async move { tasks.failure().await });
        Self { simulator, results }
    }

    /// Adds a session that is IN_PROGRESS after one second and final after two.
    fn place(&self, number: u32, outcome: simulator::Outcome) {
        let second = Some(Duration::from_secs(1));
        let images = simulator::ImageStore::None;
        self.simulator.place(Session {
            outcome,
            images,
            created_for: second,
            in_progress_for: second,
            ..Session::new(text(number))
        });
    }

    fn freeze(&self, number: u32, status: Status) {
        let images = simulator::ImageStore::None;
        self.simulator.place(Session { pace: Pace::Frozen(status), images, ..Session::new(text(number)) });
    }

    fn reads(&self, number: u32) -> u64 {
        self.simulator.reads_of(&text(number))
    }

    /// Starts a call with this `wait` and a much later deadline.
    fn wait(&self, number: u32, seconds: u64) -> JoinHandle<(Result<SessionResponse, Error>, Duration)> {
        let results = self.results.clone();
        tokio::spawn(async move {
            let started = Instant::now();
            let wait_until = Some(started + Duration::from_secs(seconds));
            let budget = WaitBudget { wait_until, respond_by: started + Duration::from_secs(seconds + 30) };
            (results.get(id(number), &ClientKey::Others, ImageSet::NONE, budget).await, started.elapsed())
        })
    }

    /// Gets the current status within a deadline.
    async fn get(&self, number: u32, deadline: Duration) -> Result<SessionResponse, Error> {
        let budget = WaitBudget { wait_until: None, respond_by: Instant::now() + deadline };
        self.results.get(id(number), &ClientKey::Others, ImageSet::NONE, budget).await
    }
}

fn text(number: u32) -> String {
    format!("0123abcd-0000-4000-8000-{number:012x}")
}

fn id(number: u32) -> SessionId {
    SessionId::parse(&text(number)).expect("a valid id")
}

fn status(response: &Result<SessionResponse, Error>) -> Result<LivenessStatus, Reason> {
    response.as_ref().map(|response| response.result.message.status()).map_err(|error| error.reason)
}

fn error(code: &str, status: u16) -> FaultKind {
    FaultKind::Error { code: code.into(), status, message: None }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const SUCCEEDED: simulator::Outcome = simulator::Outcome::Succeeded { confidence: Some(99.0) };
