//! The process: its limits, and the signals that stop it.

use std::{future::poll_fn, task::Poll, time::Duration};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a process that SIGINT ended, as shells report it: 128 plus the signal.
const STOPPED_AT_ONCE: i32 = 130;

/// A parent can send one signal twice: to this process, and to its group, as timeout(1) does. A
/// copy within this time is not a second signal.
const COPIES: Duration = Duration::from_millis(50);

/// Disables core dumps and debuggers of other users, since memory contains faces.
pub fn prepare() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "core dumps cannot be disabled: a dump would contain faces");
        }
    }
}

/// Raises the limit of open files to the maximum: each connection is one, and the default is often
/// 1,024. Returns the limit; None if there is none, and on systems other than Linux.
pub fn raise_open_files() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let files = getrlimit(Resource::Nofile);
        // If the limit cannot be raised, the present one applies.
        setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).ok();
        getrlimit(Resource::Nofile).current
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Returns a future that completes at the first SIGINT (Ctrl-C), SIGTERM (Kubernetes), SIGQUIT or
/// SIGHUP after this call. A second signal ends the process at once, unless it is SIGHUP. From
/// this call on, the other signals that end a process by default are ignored.
pub fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    let stops = || [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()].into_iter();
    // nohup(1) has it ignored. It is no second signal, since a terminal that closes sends it twice.
    let hangup = (!is_hangup_ignored()).then(SignalKind::hangup);
    let mut first = listen(stops().chain(hangup));
    #[cfg(target_os = "linux")]
    ignore_signals();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        next(&mut first).await;
        tokio::time::sleep(COPIES).await;
        let mut second = listen(stops());
        stop.send(()).ok();
        next(&mut second).await;
        std::process::exit(STOPPED_AT_ONCE);
    });
    async move {
        stopped.await.ok();
        tracing::info!("stopping; a second signal stops at once");
    }
}

fn listen(kinds: impl Iterator<Item = SignalKind>) -> Vec<Signal> {
    kinds.map(|kind| signal(kind).expect("the runtime has signals")).collect()
}

/// Waits for one of the signals.
async fn next(signals: &mut [Signal]) {
    poll_fn(|context| match signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Returns whether this process was started with SIGHUP ignored. False if the system does not
/// report it.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 is signal 1, SIGHUP.
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// Ignores the signals that end a process by default, other than those of faults. They are caught,
/// since a child process would inherit that they are ignored.
#[cfg(target_os = "linux")]
fn ignore_signals() {
    /// SIGUSR1, SIGUSR2, SIGALRM, SIGSTKFLT, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGIO, SIGPWR.
    const NAMED: [i32; 10] = [10, 12, 14, 16, 24, 25, 26, 27, 29, 30];
    // The C library has some real-time signals for itself, and rejects them.
    for number in NAMED.into_iter().chain(32..=64) {
        signal(SignalKind::from_raw(number)).ok();
    }
}
