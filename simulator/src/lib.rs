//! A simulator of Amazon Rekognition Face Liveness. It speaks AWS JSON 1.1 over plain HTTP.
//!
//! Any AWS SDK can call it, with any credentials. `CreateFaceLivenessSession` and
//! `GetFaceLivenessSessionResults` respond as AWS does. Sessions progress on a clock with a
//! configurable speed. Images are JPEGs of drawn people. Faults are scripted from Rust or under
//! `/simulator/`. Responses follow
//! <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_GetFaceLivenessSessionResults.html>.
//! Nothing here depends on who calls it, and every collection has a bound.

mod bounded_map;
mod challenge;
mod control;
mod endpoint;
mod fault;
mod feedback;
mod portrait;
mod quota;
mod request;
mod request_counts;
mod results_response;
mod session;
mod sessions;
mod signature;
mod state;
mod truncated_body;
mod validate;
mod wire;

use std::{io, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch};

pub use self::{
    challenge::{Challenge, ChallengeType},
    control::HELP,
    fault::{Fault, FaultKind},
    feedback::{Feedback, FeedbackCode},
    session::{ImageStore, Outcome, Pace, Session, Status},
    sessions::MAX_SESSIONS,
    wire::Operation,
};
use self::{endpoint::Shutdown, state::State};

/// How long a shutdown waits for requests in flight. A hanging fault ends at once, but a client may
/// stop halfway through its request or its response.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The defaults of sessions, and limits that apply to all requests.
#[derive(Clone, Debug)]
pub struct Config {
    /// Requests per second of each operation, with a burst of one second. Above it, requests fail
    /// with `ThrottlingException`. 0 means no quota.
    pub quota_tps: u32,
    /// Real time added to every response.
    pub latency: Duration,
    /// How long a session is CREATED, as if the person had not opened the camera yet.
    pub created_for: Duration,
    /// How long the session is IN_PROGRESS after that.
    pub in_progress_for: Duration,
    /// Lifetime of a session and its images, from its creation. Three minutes at AWS.
    pub gone_after: Duration,
    /// Simulated seconds per real second, for the three times above. 0 stops the clock. A negative,
    /// infinite or NaN value counts as 1.
    pub speed: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            quota_tps: 0,
            latency: Duration::ZERO,
            created_for: Duration::from_secs(5),
            in_progress_for: Duration::from_secs(8),
            gone_after: Duration::from_secs(180),
            speed: 1.0,
        }
    }
}

/// A handle of one simulator. Clones are cheap and share its state.
#[derive(Clone)]
pub struct Simulator {
    state: Arc<State>,
}

impl Simulator {
    /// Creates a simulator without sessions and faults.
    pub fn new(config: Config) -> Self {
        let Config { quota_tps, latency, created_for, in_progress_for, gone_after, speed } = config;
        let times = session::Times::new(created_for, in_progress_for, gone_after, speed);
        Self {
            state: Arc::new(State {
                latency,
                sessions: sessions::Sessions::new(times),
                faults: fault::Faults::default(),
                quota: quota::Quota::new(quota_tps),
                counts: request_counts::RequestCounts::default(),
            }),
        }
    }

    /// Serves until `shutdown` completes. Then drains for at most two seconds.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let (sender, receiver) = watch::channel(false);
        let draining = Shutdown(Some(receiver));
        let server = axum::serve(listener, self.routes(draining.clone())).with_graceful_shutdown(async move {
            shutdown.await;
            sender.send_replace(true);
        });
        tokio::select! {
            result = async { server.await } => result,
            () = async { draining.wait().await; tokio::time::sleep(DRAIN_TIMEOUT).await } => Ok(()),
        }
    }

    /// Returns the simulator without a socket, for a client in the same process.
    pub fn router(&self) -> axum::Router {
        self.routes(Shutdown(None))
    }

    fn routes(&self, shutdown: Shutdown) -> axum::Router {
        endpoint::routes(Arc::clone(&self.state), shutdown).merge(control::routes(Arc::clone(&self.state)))
    }

    /// Adds a session, or replaces the one with the same id. Above [`MAX_SESSIONS`], the oldest
    /// session is evicted.
    pub fn place(&self, session: Session) {
        self.state.sessions.place(session);
    }

    /// Appends a fault. At most 100 are kept. One more is rejected, and a warning is logged.
    pub fn script(&self, fault: Fault) {
        if let Err(reason) = self.state.faults.add(fault) {
            tracing::warn!(reason, "fault not added");
        }
    }

    /// Removes all faults. Requests that already match one are not affected.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Removes all sessions, faults and counts, and refills the quota, as between two tests.
    pub fn reset(&self) {
        self.state.reset();
    }

    /// Returns the number of `GetFaceLivenessSessionResults` requests, failed ones included.
    pub fn reads(&self) -> u64 {
        self.state.counts.received(Operation::GetFaceLivenessSessionResults)
    }

    /// Returns the number of reads of one session. Only the newest 10,000 ids are counted.
    pub fn reads_of(&self, session_id: &str) -> u64 {
        self.state.counts.reads_of(session_id)
    }

    /// Returns the number of reads with a status or an error code, such as `SUCCEEDED`.
    pub fn reads_with_outcome(&self, outcome: &str) -> u64 {
        self.state.counts.completed(Operation::GetFaceLivenessSessionResults, outcome)
    }

    /// Returns the number of requests that the quota rejected, without scripted throttling.
    pub fn throttled(&self) -> u64 {
        self.state.quota.rejected()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_hanging_fault_does_not_delay_the_shutdown() {
        let simulator = Simulator::new(Config::default());
        simulator.script(Fault::new(FaultKind::Hang));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let head = "POST / HTTP/1.1\r\nhost: s\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 0\r\n\
                    x-amz-target: RekognitionService.GetFaceLivenessSessionResults\r\n\r\n";
        client.write_all(head.as_bytes()).unwrap();
        let (stop, shutdown) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(simulator.clone().serve(listener, async { drop(shutdown.await) }));
        while simulator.reads() == 0 {
            tokio::task::yield_now().await;
        }
        stop.send(()).unwrap();
        tokio::time::timeout(DRAIN_TIMEOUT, serving).await.expect("the shutdown ends the request").unwrap().unwrap();
    }
}
