//! A stand-in for Amazon Rekognition Face Liveness that speaks its protocol, AWS JSON 1.1 over
//! plain HTTP.
//!
//! Any AWS SDK can talk to it with any credentials: `CreateFaceLivenessSession` and
//! `GetFaceLivenessSessionResults` answer as AWS does, sessions live and end on a clock that can be
//! set faster, images are JPEGs of drawn people, and faults can be scripted from Rust or under
//! `/simulator/`. What it answers follows
//! <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_GetFaceLivenessSessionResults.html>.
//! It must never know who is calling it, and nothing in it may grow without a bound.

mod answer;
mod challenge;
mod control;
mod endpoint;
mod fault;
mod feedback;
mod newest;
mod portrait;
mod quota;
mod request;
mod session;
mod sessions;
mod signature;
mod tally;
mod torn;
mod validate;
mod wire;

use std::{io, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch};

pub use self::{
    challenge::{Challenge, ChallengeType},
    fault::{Fault, FaultKind},
    feedback::{Feedback, FeedbackCode},
    session::{ImageStore, Outcome, Pace, Session, Status},
    sessions::MAX_SESSIONS,
    wire::Operation,
};

/// How long a stop waits for requests under way before it leaves them. Hanging faults are released
/// at once; this is for a client that sends half a request, or reads half an answer, and then
/// nothing.
const DRAIN: Duration = Duration::from_secs(2);

/// How the simulator behaves where a session does not say otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    /// Requests of each operation a second, with a burst of one second; beyond them the answer is
    /// `ThrottlingException`. 0 is no quota.
    pub quota_tps: u32,
    /// Real time that every answer takes, on top of its making.
    pub latency: Duration,
    /// How long a session is CREATED, as if its owner had yet to open the camera.
    pub created_for: Duration,
    /// How long it is IN_PROGRESS after that.
    pub in_progress_for: Duration,
    /// When it and its images are gone, counted from its creation; three minutes at AWS.
    pub gone_after: Duration,
    /// Simulated seconds in a real one, for the three times above. 0 stands still; what is no such
    /// number counts as 1.
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

/// The simulator: a handle that is cheap to clone, all clones being the same one.
#[derive(Clone)]
pub struct Simulator {
    state: Arc<State>,
}

struct State {
    latency: Duration,
    sessions: sessions::Sessions,
    faults: fault::Faults,
    quota: quota::Quota,
    tally: tally::Tally,
}

impl Simulator {
    /// A simulator with no sessions and no faults.
    pub fn new(config: Config) -> Self {
        let Config { quota_tps, latency, created_for, in_progress_for, gone_after, speed } = config;
        let times = session::Times::new(created_for, in_progress_for, gone_after, speed);
        Self {
            state: Arc::new(State {
                latency,
                sessions: sessions::Sessions::new(times),
                faults: fault::Faults::default(),
                quota: quota::Quota::new(quota_tps),
                tally: tally::Tally::default(),
            }),
        }
    }

    /// Serves until `stop` is done and the requests under way have ended, or two seconds have
    /// passed.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let (stopped, stopping) = watch::channel(false);
        let stopping = Stopping(Some(stopping));
        let routes = self.routes(stopping.clone());
        let server = axum::serve(listener, routes).with_graceful_shutdown(async move {
            stop.await;
            stopped.send_replace(true);
        });
        tokio::select! {
            ended = async { server.await } => ended,
            () = async { stopping.wait().await; tokio::time::sleep(DRAIN).await } => Ok(()),
        }
    }

    /// The simulator without a socket, for a client in the same process.
    pub fn router(&self) -> axum::Router {
        self.routes(Stopping(None))
    }

    fn routes(&self, stopping: Stopping) -> axum::Router {
        endpoint::routes(self.clone(), stopping).merge(control::routes(self.clone()))
    }

    /// Puts a session there, in the place of one with the same id. Beyond [`MAX_SESSIONS`] the
    /// oldest makes way.
    pub fn place(&self, session: Session) {
        self.state.sessions.place(session);
    }

    /// Adds a fault behind those already there. At most 100 are kept; one more is refused with a
    /// warning in the log.
    pub fn script(&self, fault: Fault) {
        if let Err(reason) = self.state.faults.add(fault) {
            tracing::warn!(reason, "fault not added");
        }
    }

    /// Forgets all faults; requests that already met one are not released.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Requests of `GetFaceLivenessSessionResults` received so far, whatever came of them.
    pub fn reads(&self) -> u64 {
        self.state.tally.received(Operation::GetFaceLivenessSessionResults)
    }

    /// Those among them for one session. The counts of the newest 10,000 ids are kept.
    pub fn reads_of(&self, session_id: &str) -> u64 {
        self.state.tally.reads_of(session_id)
    }

    /// Reads that were answered with this status or error code, such as `SUCCEEDED`.
    pub fn reads_answered(&self, outcome: &str) -> u64 {
        self.state.tally.ended(Operation::GetFaceLivenessSessionResults, outcome)
    }

    /// Requests of either operation that the quota refused; scripted throttling is not among them.
    pub fn throttled(&self) -> u64 {
        self.state.quota.refused()
    }
}

/// Resolves when the server that holds it stops, so that nothing scripted to hang can hold it up.
#[derive(Clone)]
struct Stopping(Option<watch::Receiver<bool>>);

impl Stopping {
    async fn wait(self) {
        match self.0 {
            // An error means that the sender is gone, and with it the server: that is a stop as
            // well.
            Some(mut stopped) => drop(stopped.wait_for(|stopped| *stopped).await),
            // Without a server there is none to stop.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_hanging_fault_does_not_hold_the_stop() {
        let simulator = Simulator::new(Config::default());
        simulator.script(Fault::new(FaultKind::Hang));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let head = "POST / HTTP/1.1\r\nhost: s\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 0\r\n\
                    x-amz-target: RekognitionService.GetFaceLivenessSessionResults\r\n\r\n";
        client.write_all(head.as_bytes()).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(simulator.clone().serve(listener, async { drop(stopped.await) }));
        while simulator.reads() == 0 {
            tokio::task::yield_now().await;
        }
        stop.send(()).unwrap();
        tokio::time::timeout(DRAIN, serving).await.expect("the stop releases the request").unwrap().unwrap();
    }
}
