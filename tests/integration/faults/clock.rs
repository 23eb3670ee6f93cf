//! An AWS whose clock is not this machine's, and that takes a signature for five minutes to either
//! side of its own.

use super::matrix::{Cached, Expected, Seen};
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
    /// Seconds by which its clock is before this machine's.
    ahead: i64,
    code: &'static str,
    believes_nobody: bool,
    refused: Arc<AtomicU64>,
}

impl Aws {
    fn now(&self) -> i64 {
        DateTime::from(SystemTime::now()).secs() + self.ahead
    }

    fn believes(&self, request: &Request) -> bool {
        // As in 20261123T153117Z.
        let date = request.headers()["x-amz-date"].to_str().expect("a date is text");
        let [day, time] = [&date[..8], &date[9..15]];
        let date = format!("{}-{}-{}T{}:{}:{}Z", &day[..4], &day[4..6], &day[6..], &time[..2], &time[2..4], &time[4..]);
        let date = DateTime::from_str(&date, DateTimeFormat::DateTime).expect("it is a date");
        !self.believes_nobody && date.secs().abs_diff(self.now()) < 300
    }
}

async fn check(State(aws): State<Aws>, request: Request, next: Next) -> Response {
    let mut response = if aws.believes(&request) {
        next.run(request).await
    } else {
        aws.refused.fetch_add(1, Ordering::SeqCst);
        (StatusCode::BAD_REQUEST, format!(r#"{{"__type":"{}"}}"#, aws.code)).into_response()
    };
    let date = DateTime::from_secs(aws.now()).fmt(DateTimeFormat::HttpDate).expect("a date of this century");
    response.headers_mut().insert("date", date.parse().expect("a date is text"));
    response
}

/// A server whose AWS is this one, and that AWS's simulator.
async fn facade(aws: &Aws) -> Facade {
    let simulator = Simulator::new(Default::default());
    for number in [1, 2] {
        simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(number)) });
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    let router = simulator.router().layer(middleware::from_fn_with_state(aws.clone(), check));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Facade::reading(&endpoint, simulator, &[]).await
}

const HOUR: i64 = 3_600;

#[tokio::test]
async fn a_clock_that_is_off_costs_one_read_and_no_caller_an_error() {
    for (ahead, code) in [
        (HOUR, "InvalidSignatureException"),
        (-HOUR, "InvalidSignatureException"),
        (HOUR, "RequestTimeTooSkewed"),
        (-HOUR, "AccessDeniedException"),
    ] {
        let aws = Aws { ahead, code, believes_nobody: false, refused: Arc::default() };
        let facade = facade(&aws).await;
        let refused = || aws.refused.load(Ordering::SeqCst);
        let asked = Instant::now();
        facade.get(&id(1)).await.unwrap_or_else(|status| panic!("{code}, {ahead} s: {status}"));
        let took = asked.elapsed();
        assert_eq!((refused(), facade.simulator.reads()), (1, 1), "{code}, {ahead} s");
        facade.get(&id(2)).await.expect("an answer");
        assert_eq!((refused(), facade.simulator.reads()), (1, 2), "AWS's time is known by now: {code}, {ahead} s");
        let seen = Seen { code: Code::Ok, reason: String::new(), cached: Cached::Answer, reads: 2, took };
        println!("{} | {seen}", row(code, ahead));
    }
}

#[tokio::test]
async fn who_is_refused_with_the_right_time_too_is_told_after_two_reads() {
    let aws = Aws { ahead: HOUR, code: "SignatureDoesNotMatch", believes_nobody: true, refused: Arc::default() };
    let facade = facade(&aws).await;
    let asked = Instant::now();
    let status = facade.get(&id(1)).await.expect_err("refused");
    let took = asked.elapsed();
    facade.get(&id(1)).await.expect_err("it is remembered");
    let reads = aws.refused.load(Ordering::SeqCst);
    let seen = Seen { code: status.code(), reason: reason(&status), cached: Cached::Error, reads, took };
    println!("{} | {seen}", row(aws.code, aws.ahead));
    let expected = Expected { reads: 2, most: Duration::from_secs(2), ..super::CREDENTIALS };
    assert_eq!(expected.differs(&seen), None);
}

fn row(code: &str, ahead: i64) -> String {
    format!("{:56}", format!("{code} of a clock {ahead} s ahead"))
}
