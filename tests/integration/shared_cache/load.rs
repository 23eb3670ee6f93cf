//! A load of callers on several replicas. Each calls for one session after another.

use super::succeeded;
use crate::facade::{eventually, id, request};
use face_liveness_facade::{
    proto::face_liveness_service_client::FaceLivenessServiceClient,
    simulator::{ImageStore, Session, Simulator},
};
use std::{
    ops::RangeInclusive,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Callers on each replica. More would share the same lookups.
const CALLERS: usize = 2;

/// The pause between two calls of a caller, so that the load leaves processor time to other tests.
const PACE: Duration = Duration::from_millis(8);

/// More sessions than a test needs.
const SESSIONS: u32 = 4_000;

pub struct Load {
    simulator: Simulator,
    /// The current session of each caller.
    current: Vec<Arc<AtomicU32>>,
    stats: Arc<Mutex<LoadStats>>,
    _callers: JoinSet<()>,
}

#[derive(Default)]
struct LoadStats {
    failed: Vec<String>,
    slowest: Duration,
}

impl LoadStats {
    fn record(&mut self, took: Duration, failed: Option<String>) {
        self.slowest = self.slowest.max(took);
        self.failed.extend(failed);
    }
}

/// Consecutive sessions that every caller has called for.
pub struct Sessions(RangeInclusive<u32>);

impl Load {
    pub async fn on(addresses: impl IntoIterator<Item = String>, simulator: &Simulator) -> Self {
        for number in 1..=SESSIONS {
            // Without image content, reads stay cheap.
            let images = ImageStore::S3 { bucket: "faces".into(), prefix: String::new(), version: None };
            simulator.place(Session { images, ..succeeded(id(number)) });
        }
        let (mut current, mut callers) = (Vec::new(), JoinSet::new());
        let stats: Arc<Mutex<LoadStats>> = Arc::default();
        for address in addresses {
            for _ in 0..CALLERS {
                let client = FaceLivenessServiceClient::connect(format!("http://{address}")).await.expect("it listens");
                let session = Arc::<AtomicU32>::default();
                callers.spawn(call(client, Arc::clone(&session), Arc::clone(&stats)));
                current.push(session);
            }
        }
        Self { simulator: simulator.clone(), current, stats, _callers: callers }
    }

    /// Waits until every caller has called for this many further sessions, and returns them.
    pub async fn advance(&self, count: u32) -> Sessions {
        let current = || self.current.iter().map(|session| session.load(Relaxed));
        let furthest = current().max().unwrap_or_default();
        eventually("all callers advance", async || current().all(|session| session > furthest + count)).await;
        Sessions(furthest + 1..=furthest + count)
    }

    /// Returns the reads from AWS for each of these sessions.
    pub fn reads(&self, sessions: &Sessions) -> Vec<u64> {
        sessions.0.clone().map(|number| self.simulator.reads_of(&id(number))).collect()
    }

    /// Returns the highest number of reads from AWS for one session.
    pub fn most_reads(&self) -> u64 {
        (1..=SESSIONS).map(|number| self.simulator.reads_of(&id(number))).max().unwrap_or_default()
    }

    /// Asserts that no call failed, and that each took less than `longest`.
    pub fn assert_no_failures(&self, longest: Duration) {
        let stats = self.stats.lock().expect("no thread panics while holding the lock");
        assert_eq!(stats.failed, Vec::<String>::new());
        assert!(stats.slowest < longest, "a call took {:?}", stats.slowest);
    }
}

async fn call(
    mut client: FaceLivenessServiceClient<tonic::transport::Channel>,
    at: Arc<AtomicU32>,
    stats: Arc<Mutex<LoadStats>>,
) {
    for number in 1..=SESSIONS {
        at.store(number, Relaxed);
        let started = Instant::now();
        let response = client.get_liveness_result(request(&id(number))).await;
        stats
            .lock()
            .expect("no thread panics while holding the lock")
            .record(started.elapsed(), response.err().map(|status| format!("session {number}: {status}")));
        tokio::time::sleep(PACE).await;
    }
}
