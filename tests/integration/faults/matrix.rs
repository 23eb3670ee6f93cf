//! A row of the fault matrix: injects a fault, records what a caller gets and what is cached, then
//! clears the fault and checks that the service recovers.

use super::faulty_aws::{FaultyAws, Injection};
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

/// What is cached for a session after a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cached {
    Nothing,
    /// The error, for its retry delay.
    Error,
    /// NotFound, for `--not-found-ttl`.
    NotFound,
    /// The response, for its TTL.
    Response,
}

/// What a caller must get, and what it may cost.
#[derive(Clone, Copy)]
pub struct Expected {
    pub code: Code,
    pub reason: &'static str,
    pub cached: Cached,
    /// Requests that reached AWS or its proxy before the caller got its response.
    pub reads: u64,
    pub least: Duration,
    pub most: Duration,
}

pub struct Row {
    pub fault: String,
    pub injection: Injection,
    pub expected: Expected,
    /// Flags of `serve` in addition to [`FLAGS`].
    pub flags: &'static [&'static str],
}

/// What a caller got, in the columns of the matrix.
pub struct Observed {
    pub code: Code,
    pub reason: String,
    pub cached: Cached,
    pub reads: u64,
    pub took: Duration,
}

/// Limits how many rows start a server and call it at once: more would slow each other down. Rows
/// that only wait for a delay hold no permit.
static ACTIVE_ROWS: Semaphore = Semaphore::const_new(6);

/// Without the rate limiter, callers get throttling errors. A pending status stays cached during the
/// test.
const FLAGS: [&str; 6] = ["--quota-tps", "0", "--pending-ttl", "1h", "--not-found-ttl", "300ms"];

/// How long shutdown may take on a busy machine. After no fault is anything left to wait for.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Runs and prints all rows. Panics with all differences.
pub async fn run(rows: Vec<Row>) {
    let run = |row: Row| async move {
        let observed = row.run().await;
        (row, observed)
    };
    let rows: Vec<_> = rows.into_iter().map(|row| tokio::spawn(run(row))).collect();
    let mut differences = Vec::new();
    for row in rows {
        let (row, observed) = row.await.expect("the panic above names its row");
        println!("{:56} | {observed}", row.fault);
        differences.extend(row.expected.differs(&observed).map(|how| format!("{}: {how}", row.fault)));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, reason, cached, reads, took } = self;
        // A derived Debug ignores the width.
        let [code, cached] = [format!("{code:?}"), format!("{cached:?}")];
        write!(f, "{code:17} | {reason:26} | {cached:8} | {reads} | {:4} ms", took.as_millis())
    }
}

impl Expected {
    /// Returns the difference from what was observed.
    pub fn differs(&self, observed: &Observed) -> Option<String> {
        let actual = (observed.code, observed.reason.as_str(), observed.cached, observed.reads);
        if actual != (self.code, self.reason, self.cached, self.reads) {
            let Self { code, reason, cached, reads, .. } = self;
            return Some(format!("{actual:?} instead of {:?}", (code, reason, cached, reads)));
        }
        let in_time = (self.least..=self.most).contains(&observed.took);
        (!in_time).then(|| format!("took {:?}, not {:?} to {:?}", observed.took, self.least, self.most))
    }
}

impl Row {
    async fn run(&self) -> Observed {
        let permit = ACTIVE_ROWS.acquire().await.expect("the semaphore is never closed");
        let aws = FaultyAws::new(&self.injection).await;
        let flags = [&FLAGS, self.flags].concat();
        let mut facade = Facade::with_endpoint(&aws.endpoint, aws.simulator.clone(), &flags).await;
        for number in [1, 2] {
            facade.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(number)) });
        }
        let mut caller = Caller { client: facade.client().await, what: &self.fault, expected: &self.expected };
        let started = Instant::now();
        let (code, reason) = caller.code_and_reason(&id(1)).await;
        let took = started.elapsed();
        let reads = aws.reads();
        let cached = caller.cached(&aws, code).await;
        drop(permit);
        if aws.clear_fault() {
            caller.assert_recovers(cached).await;
            let idle = tokio::time::timeout(SHUTDOWN, aws.proxy.wait_until_idle()).await;
            assert!(idle.is_ok(), "a connection stays open: {}", self.fault);
        }
        drop(caller);
        let stop = tokio::time::timeout(SHUTDOWN, facade.stop()).await;
        assert_eq!(stop, Ok(Stopped::Drained), "a request is left: {}", self.fault);
        Observed { code, reason, cached, reads, took }
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

    /// Calls, and returns code and reason. Checks the details of an expected error.
    async fn code_and_reason(&mut self, id: &str) -> (Code, String) {
        let Err(status) = self.call(id).await else { return (Code::Ok, String::new()) };
        if status.code() == self.expected.code {
            assert_details(&status, self.expected.cached == Cached::Error, self.what);
        }
        (status.code(), reason(&status))
    }

    /// Returns what a repeated call gets without a read. Repeats the call, because on a busy machine
    /// it can arrive after the cached entry has expired.
    async fn cached(&mut self, aws: &FaultyAws, code: Code) -> Cached {
        let calls = if self.expected.cached == Cached::Nothing { 1 } else { 10 };
        for _ in 0..calls {
            let (reads, started) = (aws.reads(), Instant::now());
            let (again, _) = self.code_and_reason(&id(1)).await;
            assert_eq!(again, code, "a repeated call has the same code: {}", self.what);
            let read = match aws.counts_reads {
                true => aws.reads() > reads,
                // Three attempts have two retry delays, which are rarely this short.
                false => started.elapsed() > Duration::from_millis(100),
            };
            match code {
                _ if read => {}
                Code::Ok => return Cached::Response,
                Code::NotFound => return Cached::NotFound,
                _ => return Cached::Error,
            }
        }
        Cached::Nothing
    }

    /// Asserts that, once the fault is cleared, a call succeeds at once or after its retry delay.
    /// Where that delay is long, the call is for another session.
    async fn assert_recovers(&mut self, cached: Cached) {
        let is_long = cached == Cached::Response || self.expected.reason == "UPSTREAM_CREDENTIALS";
        let number = if is_long { 2 } else { 1 };
        let cleared = Instant::now();
        loop {
            let status = match self.call(&id(number)).await {
                Ok(response) => {
                    let result = response.result.expect("a result");
                    return assert_eq!(result.status(), LivenessStatus::Succeeded, "{}", self.what);
                }
                Err(status) => status,
            };
            assert!(
                cached != Cached::Nothing && cleared.elapsed() < 5 * SHUTDOWN,
                "the service does not recover: {}: {status}",
                self.what
            );
            let delay = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
            tokio::time::sleep(delay.unwrap_or(Duration::from_millis(20))).await;
        }
    }
}
