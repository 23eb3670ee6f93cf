//! Concurrent callers share one read (singleflight).

use crate::facade::{Facade, eventually, id, request};
use face_liveness_facade::{
    proto::{GetLivenessResultResponse, Source},
    simulator::{self, Pace, Session, Simulator, Status},
};
use std::net::SocketAddr;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// A server whose reads reach AWS only after [`Self::open`]. Session 1 has succeeded.
struct Gated {
    facade: Facade,
    opened: watch::Sender<bool>,
    arrived: watch::Receiver<usize>,
}

impl Gated {
    async fn start() -> Self {
        let aws = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let gate = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let [aws_address, gate_address] =
            [&aws, &gate].map(|socket| socket.local_addr().expect("a bound socket has an address"));
        let simulator = Simulator::new(simulator::Config::default());
        simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
        tokio::spawn(simulator.clone().serve(aws, std::future::pending()));
        let (opened, open) = watch::channel(false);
        let (arrivals, arrived) = watch::channel(0);
        tokio::spawn(forward(gate, aws_address, open, arrivals));
        let flags = ["--upstream-timeout", "30s"];
        let facade = Facade::with_endpoint(&format!("http://{gate_address}"), simulator, &flags).await;
        Self { facade, opened, arrived }
    }

    /// Lets all reads through.
    fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Waits until a read has arrived at the gate.
    async fn read_begins(&mut self) {
        self.arrived.wait_for(|connections| *connections > 0).await.expect("the gate accepts connections");
    }

    /// Waits until this many calls are in flight at the server.
    async fn calls_in_flight(&self, count: u32) {
        let metric = "face_liveness_requests_in_flight";
        eventually("the calls are in flight", async || self.facade.metric(metric).await == f64::from(count)).await;
    }

    /// Waits until this many callers have joined a running poll.
    async fn callers_join(&self, count: u32) {
        let metric = "face_liveness_polls_shared_total";
        eventually("the callers join", async || self.facade.metric(metric).await == f64::from(count)).await;
    }

    /// Starts a call. Aborting its task cancels the call.
    async fn call(&self) -> JoinHandle<Result<GetLivenessResultResponse, tonic::Status>> {
        let mut client = self.facade.client().await;
        tokio::spawn(async move { client.get_liveness_result(request(&id(1))).await.map(tonic::Response::into_inner) })
    }

    /// Starts a call and cancels it during the read. Waits until the server has ended the call.
    async fn call_and_hang_up(&mut self) {
        let caller = self.call().await;
        self.read_begins().await;
        self.calls_in_flight(1).await;
        caller.abort();
        assert!(caller.await.expect_err("it is aborted").is_cancelled());
        self.calls_in_flight(0).await;
    }
}

/// Forwards connections once the gate is open, and counts them from the moment they arrive.
async fn forward(gate: TcpListener, aws: SocketAddr, open: watch::Receiver<bool>, arrivals: watch::Sender<usize>) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = gate.accept().await {
        arrivals.send_modify(|count| *count += 1);
        let mut open = open.clone();
        connections.spawn(async move {
            open.wait_for(|open| *open).await.expect("the test outlives its connections");
            let mut far = TcpStream::connect(aws).await.expect("the simulator listens");
            copy_bidirectional(&mut near, &mut far).await.ok();
        });
    }
}

#[tokio::test]
async fn concurrent_callers_of_a_session_share_one_read() {
    let gated = Gated::start().await;
    let client = gated.facade.client().await;
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let mut client = client.clone();
        callers.spawn(async move { client.get_liveness_result(request(&id(1))).await });
    }
    // All but the first, which starts the poll.
    gated.callers_join(99).await;
    gated.open();
    let mut read_times = Vec::new();
    while let Some(response) = callers.join_next().await {
        let response = response.expect("no caller panics").expect("a response").into_inner();
        assert_eq!(response.source(), Source::Upstream);
        read_times.push(response.read_time);
    }
    read_times.dedup();
    assert_eq!(read_times.len(), 1, "all have the result of one read");
    assert_eq!(gated.facade.simulator.reads(), 1);
}

#[tokio::test]
async fn a_caller_that_hangs_up_neither_cancels_nor_repeats_the_read() {
    let mut gated = Gated::start().await;
    gated.call_and_hang_up().await;
    let next = gated.call().await;
    gated.callers_join(1).await;
    gated.open();
    let response = next.await.expect("no caller panics").expect("a response");
    assert_eq!(response.source(), Source::Upstream);
    assert_eq!((gated.facade.simulator.reads(), *gated.arrived.borrow()), (1, 1));
}

#[tokio::test]
async fn a_read_whose_callers_have_all_hung_up_still_fills_the_cache() {
    let mut gated = Gated::start().await;
    gated.call_and_hang_up().await;
    gated.open();
    eventually("the poll ends", async || gated.facade.metric("face_liveness_polls").await == 0.0).await;
    assert_eq!(gated.facade.get(&id(1)).await.expect("a response").source(), Source::Cache);
    assert_eq!(gated.facade.simulator.reads(), 1);
}
