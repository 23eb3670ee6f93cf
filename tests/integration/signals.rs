//! Signals to the program while a call is in flight.

use crate::{
    facade::{eventually, id, request},
    program::{Running, arguments, aws, free_port, path, scripted, signal, simulator},
};
use face_liveness_facade::{
    proto::GetLivenessResultResponse,
    simulator::{Fault, FaultKind, Pace, Session, Simulator, Status},
};
use std::{
    cell::RefCell,
    process::{Command, Stdio},
};
use tokio::{net::TcpStream, task::JoinHandle};
use tonic::Response;

type Call = JoinHandle<Result<Response<GetLivenessResultResponse>, tonic::Status>>;

/// Signals that end a process by default, other than those that stop this one and those of faults.
const IGNORED: [&str; 14] =
    ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "POLL", "PWR", "STKFLT", "XCPU", "XFSZ", "PIPE", "35", "37", "64"];

/// Returns a command for the program that resets SIGHUP: nohup(1) may run the tests.
fn with_default_hangup(arguments: &[&str]) -> Command {
    scripted(r#"exec /usr/bin/env --default-signal=HUP "$@""#, arguments)
}

/// Starts the program, and a call whose read takes a second.
async fn with_call_in_flight() -> (Simulator, Running, Call) {
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    simulator.script(Fault::new(FaultKind::Latency { ms: 1000 }));
    let running = Running::start(with_default_hangup(&arguments(&[])).envs(aws(&endpoint)));
    let mut client = running.client().await;
    let call = tokio::spawn(async move { client.get_liveness_result(request(&id(1))).await });
    eventually("the read has started", async || simulator.reads() == 1).await;
    (simulator, running, call)
}

#[tokio::test]
async fn each_stop_signal_lets_the_call_in_flight_complete_and_exits_0() {
    for name in ["TERM", "INT", "HUP", "QUIT"] {
        let (_simulator, mut running, call) = with_call_in_flight().await;
        running.send_signal(name);
        let status = running.wait_for_exit().await;
        let response = call.await.expect("no panic");
        assert!(status.code() == Some(0) && response.is_ok(), "SIG{name}: {status}, {:?}", response.err());
    }
}

#[tokio::test]
async fn other_signals_are_ignored_and_the_call_in_flight_completes() {
    let (_simulator, mut running, call) = with_call_in_flight().await;
    for name in IGNORED {
        running.send_signal(name);
    }
    let response = call.await.expect("no panic");
    assert!(response.is_ok(), "{:?}", response.err());
    running.client().await.get_liveness_result(request(&id(1))).await.expect("a response");
    assert_eq!(running.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_repeated_hangup_does_not_cut_the_shutdown_short() {
    let (_simulator, mut running, call) = with_call_in_flight().await;
    running.send_signal("HUP");
    eventually("it is stopping", async || running.log().contains("stopping")).await;
    running.send_signal("HUP");
    let status = running.wait_for_exit().await;
    let response = call.await.expect("no panic");
    assert!(status.code() == Some(0) && response.is_ok(), "{status}, {:?}", response.err());
}

#[tokio::test]
async fn a_signal_that_its_parent_sends_twice_stops_gracefully() {
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    simulator.script(Fault::new(FaultKind::Latency { ms: 1000 }));
    // timeout(1) sends the signal to its child, and to its group.
    let mut command = Command::new("/usr/bin/timeout");
    command.args(["60"]).arg(path()).args(arguments(&[])).env_clear().envs(aws(&endpoint));
    let mut running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut client = running.client().await;
    let call = tokio::spawn(async move { client.get_liveness_result(request(&id(1))).await });
    eventually("the read has started", async || simulator.reads() == 1).await;
    running.send_sigterm();
    let status = running.wait_for_exit().await;
    let response = call.await.expect("no panic");
    assert!(response.is_ok(), "{status}, {:?}", response.err());
}

#[tokio::test]
async fn a_program_that_nohup_started_ignores_the_hangup() {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"trap "" HUP; exec "$0" "$@""#]).arg(path()).args(arguments(&[]));
    command.env_clear().envs([("AWS_REGION", "us-east-1"), ("AWS_EC2_METADATA_DISABLED", "true")]);
    let mut running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    running.send_signal("HUP");
    running.client().await;
    assert!(!running.log().contains("stopping"), "{}", running.log());
    running.send_sigterm();
    assert_eq!(running.wait_for_exit().await.code(), Some(0));
}

#[tokio::test]
async fn demo_and_simulate_stop_at_the_same_signals_and_ignore_the_others() {
    for command in ["demo", "simulate"] {
        for name in ["HUP", "QUIT"] {
            let address = format!("127.0.0.1:{}", free_port());
            let child = with_default_hangup(&[command, "--listen", &address]).spawn().expect("the program starts");
            let (pid, child) = (child.id(), RefCell::new(child));
            eventually("it listens", async || TcpStream::connect(&address).await.is_ok()).await;
            for ignored in IGNORED {
                signal(pid, ignored);
            }
            TcpStream::connect(&address).await.expect("it still listens");
            signal(pid, name);
            let exited = || child.borrow_mut().try_wait().expect("it is a child of this process");
            eventually("it exits", async || exited().is_some()).await;
            let status = exited();
            assert_eq!(status.and_then(|status| status.code()), Some(0), "{command}: SIG{name}: {status:?}");
        }
    }
}
