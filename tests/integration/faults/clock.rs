//! An AWS whose clock differs from this machine's, and that accepts signatures within five minutes of
//! its own time.

use super::matrix::{Cached, Expected, Observed};
use crate::facade::{Facade, id, reason};
use aws_sdk_rekognition::primitives::{DateTime, DateTimeFormat};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use face_liveness_facade::simulator::{Pace, Session, Simulator, Status};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::net::TcpListener;
use tonic::Code;

#[derive(Clone)]
struct Aws {
    /// Seconds by which its clock is ahead of this machine's.
    ahead: i64,
    code: &'static str,
    rejects_all: bool,
    rejected: Arc<AtomicU64>,
}

impl Aws {
    fn now(&self) -> i64 {
        DateTime::from(SystemTime::now()).secs() + self.ahead
    }

    fn accepts(&self, request: &Request) -> bool {
        // The format is 20261123T153117Z.
        let date = request.headers()["x-amz-date"].to_str().expect("a date is ASCII");
        let [day, time] = [&date[..8], &date[9..15]];
        let date = format!("{}-{}-{}T{}:{}:{}Z", &day[..4], &day[4..6], &day[6..], &time[..2], &time[2..4], &time[4..]);
        let date = DateTime::from_str(&date, DateTimeFormat::DateTime).expect("it is a date");
        !self.rejects_all && date.secs().abs_diff(self.now()) < 300
    }
}

async fn check(State(aws): State<Aws>, request: Request, next: Next) -> Response {
    let mut response = if aws.accepts(&request) {
        next.run(request).await
    } else {
        aws.rejected.fetch_add(1, Ordering::SeqCst);
        (StatusCode::BAD_REQUEST, format!(r#"{{"__type":"{}"}}"#, aws.code)).into_response()
    };
    let date = DateTime::from_secs(aws.now()).fmt(DateTimeFormat::HttpDate).expect("a date of this century");
    response.headers_mut().insert("date", date.parse().expect("a date is ASCII"));
    response
}

/// Starts a server that reads from this AWS.
async fn facade(aws: &Aws) -> Facade {
    let simulator = Simulator::new(Default::default());
    for number in [1, 2] {
        simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(number)) });
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    let router = simulator.router().layer(middleware::from_fn_with_state(aws.clone(), check));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Facade::with_endpoint(&endpoint, simulator, &[]).await
}

const HOUR: i64 = 3_600;

#[tokio::test]
async fn clock_skew_costs_one_extra_read_and_no_caller_an_error() {
    for (ahead, code) in [
        (HOUR, "InvalidSignatureException"),
        (-HOUR, "InvalidSignatureException"),
        (HOUR, "RequestTimeTooSkewed"),
        (-HOUR, "AccessDeniedException"),
    ] {
        let aws = Aws { ahead, code, rejects_all: false, rejected: Arc::default() };
        let facade = facade(&aws).await;
        let rejected = || aws.rejected.load(Ordering::SeqCst);
        let started = Instant::now();
        facade.get(&id(1)).await.unwrap_or_else(|status| panic!("{code}, {ahead} s: {status}"));
        let took = started.elapsed();
        assert_eq!((rejected(), facade.simulator.reads()), (1, 1), "{code}, {ahead} s");
        facade.get(&id(2)).await.expect("a response");
        assert_eq!((rejected(), facade.simulator.reads()), (1, 2), "the clock skew is known: {code}, {ahead} s");
        let observed = Observed { code: Code::Ok, reason: String::new(), cached: Cached::Response, reads: 2, took };
        println!("{} | {observed}", row(code, ahead));
    }
}

#[tokio::test]
async fn a_signature_rejected_with_the_corrected_time_fails_after_two_reads() {
    let aws = Aws { ahead: HOUR, code: "SignatureDoesNotMatch", rejects_all: true, rejected: Arc::default() };
    let facade = facade(&aws).await;
    let started = Instant::now();
    let status = facade.get(&id(1)).await.expect_err("rejected");
    let took = started.elapsed();
    facade.get(&id(1)).await.expect_err("negative-cached");
    let reads = aws.rejected.load(Ordering::SeqCst);
    let observed = Observed { code: status.code(), reason: reason(&status), cached: Cached::Error, reads, took };
    println!("{} | {observed}", row(aws.code, aws.ahead));
    let expected = Expected { reads: 2, most: Duration::from_secs(2), ..super::CREDENTIALS };
    assert_eq!(expected.differs(&observed), None);
}

fn row(code: &str, ahead: i64) -> String {
    format!("{:56}", format!("{code} with a clock {ahead} s ahead"))
}
