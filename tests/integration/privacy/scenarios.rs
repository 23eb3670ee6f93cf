//! Runs the watched programs in parallel, each in its own scenario.

use super::{
    caller::{Caller, waiting},
    handshakes::Mutual,
    misuse, planted,
    planted::id,
    proof::{Dump, Proof},
    received::Received,
    watched_program::{Limits, Observed, WatchedProgram},
    workload,
};
use crate::{
    admin::get,
    facade::eventually,
    faults::{self, FaultyAws, Injection},
    program::{program, simulator},
};
use face_liveness_facade::simulator::{FaultKind, Pace, Status};
use std::{
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinSet};

/// Limits how many of the short scenarios run at once.
static SHORT_SCENARIOS: Semaphore = Semaphore::const_new(2);

pub async fn all() -> Proof {
    let received = Received::default();
    let connection_faults = faults::connection_faults();
    let (programs, unreachable) = (connection_faults.len() + 3, connection_faults.len());
    let mut short = JoinSet::new();
    for injection in connection_faults {
        short.spawn(unreachable_aws(injection, received.clone()));
    }
    let ((observed_main, faults), (observed_aborted, dump), observed_limited) =
        tokio::join!(mutual_tls(&received), aborted(&received), low_quota(&received));
    let mut observed = observed_main.and(observed_aborted).and(observed_limited);
    for other in short.join_all().await {
        observed = observed.and(other);
    }
    observed.log.extend(references());
    Proof { received, observed, dump, programs, faults: faults + unreachable }
}

/// Runs the whole workload over mutual TLS, then shuts down while a caller waits.
async fn mutual_tls(received: &Received) -> (Observed, usize) {
    let mutual = Mutual::new();
    let (simulator, aws) = simulator().await;
    let flags = mutual.flags();
    // Without the rate limiter, callers get throttling errors. The timeout suits a busy machine.
    let own = ["--quota-tps", "0", "--upstream-timeout", "1s"];
    let flags: Vec<_> = flags.iter().map(String::as_str).chain(own).collect();
    let mut watched = WatchedProgram::start(Limits::NoFileWrites, &aws, &flags, received).await;
    let caller = Caller::new(watched.channel(Some(mutual.client("checkout"))), received);
    workload::statuses(&simulator, &caller).await;
    watched.observe().await;
    for name in ["report", "unknown"] {
        let other = Caller::new(watched.channel(Some(mutual.client(name))), received);
        other.call(planted::full(0x10)).await.expect_err("it may not read images, or not call");
    }
    let misuses = async {
        misuse::requests(&caller).await;
        misuse::headers(&caller).await;
        misuse::health_and_reflection(&caller).await;
        mutual.fail_handshakes(&watched).await;
    };
    let uses = async {
        workload::waits(&simulator, &caller).await;
        workload::unknown(&simulator, &caller).await;
    };
    let (faults, (), ()) = tokio::join!(workload::faults(&simulator, &caller), misuses, uses);
    watched.observe().await;
    simulator.place(planted::session(0x30, Pace::Frozen(Status::InProgress)));
    caller.call(planted::full(0x30)).await.expect("its status");
    let waits = tokio::spawn(async move { caller.call(waiting(0x30, Duration::from_secs(40))).await });
    in_flight(&watched, 1).await;
    let (status, observed) = watched.stop("TERM").await;
    assert!(status.success(), "{status}");
    waits.await.expect("no panic").expect("its last status");
    (observed, faults)
}

/// Aborts the program while everything is cached.
async fn aborted(received: &Received) -> (Observed, Dump) {
    let (simulator, aws) = simulator().await;
    let watched = WatchedProgram::start(Limits::CoreDump, &aws, &[], received).await;
    let caller = Caller::new(watched.channel(None), received);
    workload::result(&simulator, 0x40, "SUCCEEDED");
    for _ in 0..2 {
        let cached = caller.call(planted::full(0x40)).await.expect("a response").result.expect("a result");
        assert_eq!(cached.reference_image.expect("an image").content, planted::image());
    }
    misuse::bytes(&caller, &watched.running.address, &watched.running.admin_address).await;
    // With the rate limiter, calls wait while AWS throttles.
    let (code, message) = ("ThrottlingException".to_owned(), Some(planted::words(&id(0x41))));
    workload::respond_with(&simulator, 0x41, FaultKind::Error { code, status: 400, message });
    let waits = tokio::spawn(async move { caller.call(waiting(0x41, Duration::from_secs(40))).await });
    eventually("AWS throttles", async || simulator.reads() > 3).await;
    let (status, observed) = watched.stop("ABRT").await;
    assert!(status.signal().is_some(), "{status}");
    waits.await.expect("no panic").expect_err("the connection was closed");
    let dump = match (status.core_dumped(), other_process_dumps_core()) {
        (true, _) => Dump::Core,
        (false, true) => Dump::None,
        (false, false) => Dump::Inconclusive,
    };
    (observed, dump)
}

/// Runs with a quota of one read in ten seconds. Calls with a short deadline get QUOTA_EXHAUSTED, and
/// a queued call gets SHUTTING_DOWN.
async fn low_quota(received: &Received) -> Observed {
    let (_simulator, aws) = simulator().await;
    let watched = WatchedProgram::start(Limits::NoFileWrites, &aws, &["--quota-tps", "0.1"], received).await;
    let caller = Caller::new(watched.channel(None), received);
    caller.call(planted::full(0x50)).await.expect_err("the session is unknown");
    caller.call_until_error("QUOTA_EXHAUSTED", 0x51, Duration::from_secs(2)).await;
    let queued = tokio::spawn(async move { caller.call(planted::full(0x50 + 0x80)).await });
    in_flight(&watched, 1).await;
    let (status, observed) = watched.stop("TERM").await;
    assert!(status.success(), "{status}");
    queued.await.expect("no panic").expect_err("the server shuts down");
    observed
}

/// Runs with an AWS that is unreachable or violates HTTP.
async fn unreachable_aws(injection: Injection, received: Received) -> Observed {
    let _permit = SHORT_SCENARIOS.acquire().await.expect("the semaphore is never closed");
    let aws = FaultyAws::new(&injection).await;
    let watched = WatchedProgram::start(Limits::NoFileWrites, &aws.endpoint, faults::SHORT_TIMEOUT, &received).await;
    let caller = Caller::new(watched.channel(None), &received);
    caller.call(planted::full(0x60)).await.expect_err("AWS is unavailable");
    let (status, observed) = watched.stop("TERM").await;
    assert!(status.success(), "{status}");
    observed
}

/// Returns what `session-ref` prints for valid and invalid ids.
fn references() -> Vec<u8> {
    let key = format!("{}/privacy-key-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    fs::write(&key, "a key of sixteen bytes").expect("cargo created the folder");
    let id = id(0x70);
    let mut printed = Vec::new();
    for id in [&id, &id.to_uppercase(), &id.repeat(2)] {
        for is_argument in [true, false] {
            let argument = if is_argument { id } else { "-" };
            let mut command = program(&["session-ref", "--session-ref-key-file", &key, argument]);
            let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
            let mut input = child.stdin.take().expect("it is piped");
            // With the id as an argument, the program does not read standard input.
            input.write_all(id.as_bytes()).ok();
            drop(input);
            let output = child.wait_with_output().expect("the program exits");
            printed.extend([output.stdout, output.stderr].concat());
        }
    }
    fs::remove_file(key).ok();
    printed
}

/// Waits until this many requests are in flight.
async fn in_flight(watched: &WatchedProgram, count: usize) {
    let line = format!("\nface_liveness_requests_in_flight {count}\n");
    let address = &watched.running.admin_address;
    eventually("the requests are in flight", async || get(address, "/metrics").await.1.contains(&line)).await;
}

/// Returns whether a process that allows it leaves a core dump on this machine.
fn other_process_dumps_core() -> bool {
    let folder = format!("{}/privacy-core-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    fs::create_dir_all(&folder).expect("cargo created the folder");
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -c "$(ulimit -Hc)"; kill -s ABRT $$"#]).current_dir(Path::new(&folder));
    let status = command.status().expect("sh is installed");
    fs::remove_dir_all(folder).ok();
    status.core_dumped()
}
