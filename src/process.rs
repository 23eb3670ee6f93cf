//! The process: its limits, and the signals that stop it.

use tokio::signal::unix::{SignalKind, signal};

/// The exit code of a process that SIGINT ended, as shells report it: 128 plus the signal.
const STOPPED_AT_ONCE: i32 = 130;

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

/// Returns a future that completes at the first SIGINT (Ctrl-C) or SIGTERM (Kubernetes) after this
/// call. A second signal ends the process at once.
pub fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    let mut interrupt = signal(SignalKind::interrupt()).expect("the runtime has signals");
    let mut terminate = signal(SignalKind::terminate()).expect("the runtime has signals");
    let (stop, stopped) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        for signal in [Some(stop), None] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match signal {
                Some(stop) => stop.send(()).ok(),
                None => std::process::exit(STOPPED_AT_ONCE),
            };
        }
    });
    async move {
        stopped.await.ok();
        tracing::info!("stopping; a second signal stops at once");
    }
}
