//! What the operating system is asked for, once, before anything is held.

/// Forbids core dumps and other users' debuggers: memory holds faces. Raises the limit of open
/// files to what is allowed, since each connection is one, and shells and containers often start
/// with 1,024.
pub fn prepare() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "core dumps cannot be switched off: a dump would hold faces");
        }
        let files = getrlimit(Resource::Nofile);
        // Who may not raise it lives with what there is.
        setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).ok();
    }
}
