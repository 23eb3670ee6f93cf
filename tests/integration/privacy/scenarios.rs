//! The programs that are watched, each with what only it can show, all at the same time.

use super::{
    caller::{Caller, waiting},
    handshakes::Mutual,
    misuse, planted,
    planted::id,
    proof::{Dump, Proof},
    received::Received,
    watched_program::{Limits, Seen, WatchedProgram},
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

/// So many programs beside those that take longest.
static TURNS: Semaphore = Semaphore::const_new(2);

pub async fn all() -> Proof {
    let received = Received::default();
    let connection_faults = faults::connection_faults();
    let (programs, lost_ways) = (connection_faults.len() + 3, connection_faults.len());
    let mut ways = JoinSet::new();
    for at in connection_faults {
        ways.spawn(lost(at, received.clone()));
    }
    let ((of_main, faults), (of_killed, dump), of_limited) =
        tokio::join!(main(&received), killed(&received), limited(&received));
    let mut seen = of_main.and(of_killed).and(of_limited);
    for other in ways.join_all().await {
        seen = seen.and(other);
    }
    seen.log.extend(references());
    Proof { received, seen, dump, programs, faults: faults + lost_ways }
}

/// Everything over mutual TLS, and a stop with callers who wait.
async fn main(received: &Received) -> (Seen, usize) {
    let mutual = Mutual::new();
    let (simulator, aws) = simulator().await;
    let flags = mutual.flags();
    // Without a rate limiter, throttling reaches callers. The timeout suits a busy machine.
    let own = ["--quota-tps", "0", "--upstream-timeout", "1s"];
    let flags: Vec<_> = flags.iter().map(String::as_str).chain(own).collect();
    let mut watched = WatchedProgram::start(Limits::NoFileWrites, &aws, &flags, received).await;
    let caller = Caller::new(watched.channel(Some(mutual.client("checkout"))), received);
    workload::statuses(&simulator, &caller).await;
    watched.look().await;
    for name in ["report", "nobody"] {
        let other = Caller::new(watched.channel(Some(mutual.client(name))), received);
        other.call(planted::full(0x10)).await.expect_err("it may not see images, or ask");
    }
    let misuses = async {
        misuse::requests(&caller).await;
        misuse::headers(&caller).await;
        misuse::health_and_reflection(&caller).await;
        mutual.fail(&watched).await;
    };
    let uses = async {
        workload::waits(&simulator, &caller).await;
        workload::unknown(&simulator, &caller).await;
    };
    let (faults, (), ()) = tokio::join!(workload::faults(&simulator, &caller), misuses, uses);
    watched.look().await;
    simulator.place(planted::session(0x30, Pace::Frozen(Status::InProgress)));
    caller.call(planted::full(0x30)).await.expect("its state");
    let waits = tokio::spawn(async move { caller.call(waiting(0x30, Duration::from_secs(40))).await });
    in_flight(&watched, 1).await;
    let (status, seen) = watched.end("TERM").await;
    assert!(status.success(), "{status}");
    waits.await.expect("no panic").expect("its last state");
    (seen, faults)
}

/// Ended by SIGABRT while it holds everything.
async fn killed(received: &Received) -> (Seen, Dump) {
    let (simulator, aws) = simulator().await;
    let watched = WatchedProgram::start(Limits::CoreDump, &aws, &[], received).await;
    let caller = Caller::new(watched.channel(None), received);
    workload::result(&simulator, 0x40, "SUCCEEDED");
    for _ in 0..2 {
        let held = caller.call(planted::full(0x40)).await.expect("a response").result.expect("a result");
        assert_eq!(held.reference_image.expect("an image").content, planted::image());
    }
    misuse::bytes(&caller, &watched.running.address, &watched.running.admin_address).await;
    // With a limiter callers are held while AWS throttles.
    let (code, message) = ("ThrottlingException".to_owned(), Some(planted::words(&id(0x41))));
    workload::response(&simulator, 0x41, FaultKind::Error { code, status: 400, message });
    let waits = tokio::spawn(async move { caller.call(waiting(0x41, Duration::from_secs(40))).await });
    eventually("AWS throttles", async || simulator.reads() > 3).await;
    let (status, seen) = watched.end("ABRT").await;
    assert!(status.signal().is_some(), "{status}");
    waits.await.expect("no panic").expect_err("it was cut off");
    let dump = match (status.core_dumped(), a_process_dumps()) {
        (true, _) => Dump::Core,
        (false, true) => Dump::None,
        (false, false) => Dump::NotShown,
    };
    (seen, dump)
}

/// A quota of one read in ten seconds: who has no time for that is told so, and who has when it
/// stops.
async fn limited(received: &Received) -> Seen {
    let (_simulator, aws) = simulator().await;
    let watched = WatchedProgram::start(Limits::NoFileWrites, &aws, &["--quota-tps", "0.1"], received).await;
    let caller = Caller::new(watched.channel(None), received);
    caller.call(planted::full(0x50)).await.expect_err("nobody knows it");
    caller.call_until_error("QUOTA_EXHAUSTED", 0x51, Duration::from_secs(2)).await;
    let queued = tokio::spawn(async move { caller.call(planted::full(0x50 + 0x80)).await });
    in_flight(&watched, 1).await;
    let (status, seen) = watched.end("TERM").await;
    assert!(status.success(), "{status}");
    queued.await.expect("no panic").expect_err("it stops");
    seen
}

/// An AWS that cannot be reached, or does not speak as it should.
async fn lost(at: Injection, received: Received) -> Seen {
    let _turn = TURNS.acquire().await.expect("it is never closed");
    let edge = FaultyAws::new(&at).await;
    let watched = WatchedProgram::start(Limits::NoFileWrites, &edge.endpoint, faults::SHORT_TIMEOUT, &received).await;
    let caller = Caller::new(watched.channel(None), &received);
    caller.call(planted::full(0x60)).await.expect_err("AWS is away");
    let (status, seen) = watched.end("TERM").await;
    assert!(status.success(), "{status}");
    seen
}

/// What `session-ref` says of ids that are, and are not.
fn references() -> Vec<u8> {
    let key = format!("{}/privacy-key-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    fs::write(&key, "a key of sixteen bytes").expect("cargo made the folder");
    let id = id(0x70);
    let mut said = Vec::new();
    for id in [&id, &id.to_uppercase(), &id.repeat(2)] {
        for of_argument in [true, false] {
            let argument = if of_argument { id } else { "-" };
            let mut command = program(&["session-ref", "--session-ref-key-file", &key, argument]);
            let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
            let mut input = child.stdin.take().expect("it is piped");
            // Who has it as an argument reads none.
            input.write_all(id.as_bytes()).ok();
            drop(input);
            let output = child.wait_with_output().expect("it ends");
            said.extend([output.stdout, output.stderr].concat());
        }
    }
    fs::remove_file(key).ok();
    said
}

/// Completes when so many requests are in flight.
async fn in_flight(watched: &WatchedProgram, count: usize) {
    let line = format!("\nface_liveness_requests_in_flight {count}\n");
    let address = &watched.running.admin_address;
    eventually("they are in flight", async || get(address, "/metrics").await.1.contains(&line)).await;
}

/// Whether a process that does not forbid it leaves a core here.
fn a_process_dumps() -> bool {
    let folder = format!("{}/privacy-core-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    fs::create_dir_all(&folder).expect("cargo made the folder");
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -c "$(ulimit -Hc)"; kill -s ABRT $$"#]).current_dir(Path::new(&folder));
    let status = command.status().expect("there is a shell");
    fs::remove_dir_all(folder).ok();
    status.core_dumped()
}
