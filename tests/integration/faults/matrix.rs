//! A row of the matrix: a fault at AWS's edge, what a caller is told of it, what is remembered
//! after, and that it passes.

use super::edge::{At, Edge};
use crate::{
    errors::assert_details,
    facade::{Facade, id, reason, request},
};
use face_liveness_facade::{
    proto::{GetLivenessResultResponse, LivenessStatus, face_liveness_service_client::FaceLivenessServiceClient},
    server::Stopped,
    simulator::{Pace, Session, Status},
};
use std::{
    fmt,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt;

/// What is remembered of a session after a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cached {
    Nothing,
    /// The error itself, for the delay before a retry.
    Error,
    /// That AWS does not know the session, for `--not-found-ttl`.
    NotFound,
    /// The answer, for its time.
    Answer,
}

/// What a caller gets, and what it costs.
#[derive(Clone, Copy)]
pub struct Expected {
    pub code: Code,
    pub reason: &'static str,
    pub cached: Cached,
    /// Requests that reached AWS's edge before the caller had an answer.
    pub reads: u64,
    pub least: Duration,
    pub most: Duration,
}

pub struct Row {
    pub fault: String,
    pub at: At,
    pub expected: Expected,
    /// Of `serve`, on top of those that all rows have.
    pub flags: &'static [&'static str],
}

/// What was seen, in the columns of the matrix.
pub struct Seen {
    pub code: Code,
    pub reason: String,
    pub cached: Cached,
    pub reads: u64,
    pub took: Duration,
}

/// So many rows start a server and ask at a time: more would make each other slow. Those that only
/// wait for a delay to pass need no turn.
static TURNS: Semaphore = Semaphore::const_new(6);

/// Without a limiter throttling is answered and not waited out. The state of an unfinished session
/// stays current while the test looks.
const FLAGS: [&str; 6] = ["--quota-tps", "0", "--pending-ttl", "1h", "--not-found-ttl", "300ms"];

/// Whatever the fault was, a stop has nothing to wait for. A moment, on a busy machine.
const MOMENT: Duration = Duration::from_secs(2);

/// Runs all rows, prints what was seen, and tells all that differs.
pub async fn run(rows: Vec<Row>) {
    let run = |row: Row| async move {
        let seen = row.run().await;
        (row, seen)
    };
    let rows: Vec<_> = rows.into_iter().map(|row| tokio::spawn(run(row))).collect();
    let mut wrong = Vec::new();
    for row in rows {
        let (row, seen) = row.await.expect("the panic above names its row");
        println!("{:56} | {seen}", row.fault);
        wrong.extend(row.expected.differs(&seen).map(|how| format!("{}: {how}", row.fault)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, reason, cached, reads, took } = self;
        // A derived Debug pads nothing.
        let [code, cached] = [format!("{code:?}"), format!("{cached:?}")];
        write!(f, "{code:17} | {reason:26} | {cached:8} | {reads} | {:4} ms", took.as_millis())
    }
}

impl Expected {
    /// How what was seen is not what was expected.
    pub fn differs(&self, seen: &Seen) -> Option<String> {
        let said = (seen.code, seen.reason.as_str(), seen.cached, seen.reads);
        if said != (self.code, self.reason, self.cached, self.reads) {
            let Self { code, reason, cached, reads, .. } = self;
            return Some(format!("{said:?} instead of {:?}", (code, reason, cached, reads)));
        }
        let in_time = (self.least..=self.most).contains(&seen.took);
        (!in_time).then(|| format!("took {:?}, which is not {:?} to {:?}", seen.took, self.least, self.most))
    }
}

impl Row {
    async fn run(&self) -> Seen {
        let turn = TURNS.acquire().await.expect("it is never closed");
        let edge = Edge::new(&self.at).await;
        let flags = [&FLAGS, self.flags].concat();
        let mut facade = Facade::reading(&edge.endpoint, edge.simulator.clone(), &flags).await;
        for number in [1, 2] {
            facade.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(number)) });
        }
        let mut caller = Caller { client: facade.client().await, what: &self.fault, expected: &self.expected };
        let asked = Instant::now();
        let (code, reason) = caller.ask(&id(1)).await;
        let took = asked.elapsed();
        let reads = edge.reads();
        let cached = caller.what_is_cached(&edge, code).await;
        drop(turn);
        if edge.mend() {
            caller.recovers(cached).await;
            let settled = tokio::time::timeout(MOMENT, edge.road.settles()).await;
            assert!(settled.is_ok(), "a connection is stuck: {}", self.fault);
        }
        drop(caller);
        let stop = tokio::time::timeout(MOMENT, facade.stop()).await;
        assert_eq!(stop, Ok(Stopped::Drained), "nothing is left under way: {}", self.fault);
        Seen { code, reason, cached, reads, took }
    }
}

struct Caller<'a> {
    client: FaceLivenessServiceClient<Channel>,
    what: &'a str,
    expected: &'a Expected,
}

impl Caller<'_> {
    async fn call(&mut self, id: &str) -> Result<GetLivenessResultResponse, tonic::Status> {
        self.client.get_liveness_result(request(id)).await.map(tonic::Response::into_inner)
    }

    /// Code and reason of an answer. The details of one that was expected fit them.
    async fn ask(&mut self, id: &str) -> (Code, String) {
        let Err(status) = self.call(id).await else { return (Code::Ok, String::new()) };
        if status.code() == self.expected.code {
            assert_details(&status, self.expected.cached == Cached::Error, self.what);
        }
        (status.code(), reason(&status))
    }

    /// What a second call is answered with that costs no read. On a busy machine it may come too
    /// late, and so it comes again.
    async fn what_is_cached(&mut self, edge: &Edge, code: Code) -> Cached {
        let calls = if self.expected.cached == Cached::Nothing { 1 } else { 10 };
        for _ in 0..calls {
            let (reads, asked) = (edge.reads(), Instant::now());
            let (again, _) = self.ask(&id(1)).await;
            assert_eq!(again, code, "a second call is told the same: {}", self.what);
            let read = match edge.counts_reads {
                true => edge.reads() > reads,
                // Three attempts come with two pauses, and those are seldom this short.
                false => asked.elapsed() > Duration::from_millis(100),
            };
            match code {
                _ if read => {}
                Code::Ok => return Cached::Answer,
                Code::NotFound => return Cached::NotFound,
                _ => return Cached::Error,
            }
        }
        Cached::Nothing
    }

    /// The fault has passed: the same session is answered, at once or after the delay that was
    /// told. Where that is long, another is.
    async fn recovers(&mut self, cached: Cached) {
        let is_long = cached == Cached::Answer || self.expected.reason == "UPSTREAM_CREDENTIALS";
        let number = if is_long { 2 } else { 1 };
        let told = Instant::now();
        loop {
            let status = match self.call(&id(number)).await {
                Ok(response) => {
                    let result = response.result.expect("a result");
                    return assert_eq!(result.status(), LivenessStatus::Succeeded, "{}", self.what);
                }
                Err(status) => status,
            };
            assert!(
                cached != Cached::Nothing && told.elapsed() < 5 * MOMENT,
                "it does not pass: {}: {status}",
                self.what
            );
            let delay = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
            tokio::time::sleep(delay.unwrap_or(Duration::from_millis(20))).await;
        }
    }
}
