//! Callers without end on several replicas, each after every session in turn.

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

/// On each replica. More would find the same: they share its one look-up.
const CALLERS: usize = 2;

/// Between two calls of one caller, so that the load leaves the machine to other tests, too.
const PACE: Duration = Duration::from_millis(8);

/// More sessions than a test gets to.
const SESSIONS: u32 = 4_000;

pub struct Load {
    simulator: Simulator,
    /// The session that each caller is at.
    at: Vec<Arc<AtomicU32>>,
    seen: Arc<Mutex<Seen>>,
    _callers: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    failed: Vec<String>,
    slowest: Duration,
}

impl Seen {
    fn note(&mut self, took: Duration, failed: Option<String>) {
        self.slowest = self.slowest.max(took);
        self.failed.extend(failed);
    }
}

/// Sessions that all callers have asked for within a time.
pub struct Asked(RangeInclusive<u32>);

impl Load {
    pub async fn on(addresses: impl IntoIterator<Item = String>, simulator: &Simulator) -> Self {
        for number in 1..=SESSIONS {
            // Without image content, reads stay cheap.
            let images = ImageStore::S3 { bucket: "faces".into(), prefix: String::new(), version: None };
            simulator.place(Session { images, ..succeeded(id(number)) });
        }
        let (mut at, mut callers) = (Vec::new(), JoinSet::new());
        let seen: Arc<Mutex<Seen>> = Arc::default();
        for address in addresses {
            for _ in 0..CALLERS {
                let client = FaceLivenessServiceClient::connect(format!("http://{address}")).await.expect("it listens");
                let place = Arc::<AtomicU32>::default();
                callers.spawn(call(client, Arc::clone(&place), Arc::clone(&seen)));
                at.push(place);
            }
        }
        Self { simulator: simulator.clone(), at, seen, _callers: callers }
    }

    /// Waits until all callers have asked for so many sessions more, which nobody had asked for.
    pub async fn further(&self, sessions: u32) -> Asked {
        let at = || self.at.iter().map(|at| at.load(Relaxed));
        let furthest = at().max().unwrap_or_default();
        eventually("all callers are further", async || at().all(|at| at > furthest + sessions)).await;
        Asked(furthest + 1..=furthest + sessions)
    }

    /// Reads of AWS for each of these sessions.
    pub fn reads(&self, asked: &Asked) -> Vec<u64> {
        asked.0.clone().map(|number| self.simulator.reads_of(&id(number))).collect()
    }

    /// Reads of AWS for the session that was read most often of all.
    pub fn most_reads(&self) -> u64 {
        (1..=SESSIONS).map(|number| self.simulator.reads_of(&id(number))).max().unwrap_or_default()
    }

    /// That no call ever failed, and none took longer.
    pub fn assert_no_failures(&self, longest: Duration) {
        let seen = self.seen.lock().expect("no thread panics while holding the lock");
        assert_eq!(seen.failed, Vec::<String>::new());
        assert!(seen.slowest < longest, "a call took {:?}", seen.slowest);
    }
}

async fn call(
    mut client: FaceLivenessServiceClient<tonic::transport::Channel>,
    at: Arc<AtomicU32>,
    seen: Arc<Mutex<Seen>>,
) {
    for number in 1..=SESSIONS {
        at.store(number, Relaxed);
        let started = Instant::now();
        let response = client.get_liveness_result(request(&id(number))).await;
        seen.lock()
            .expect("no thread panics while holding the lock")
            .note(started.elapsed(), response.err().map(|status| format!("session {number}: {status}")));
        tokio::time::sleep(PACE).await;
    }
}
