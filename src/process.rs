//! Settings of the process, made once at the start.

/// Disables core dumps and debuggers of other users, since memory contains faces. Raises the limit of
/// open files to the maximum: each connection is one, and the default is often 1,024.
pub fn prepare() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "core dumps cannot be disabled: a dump would contain faces");
        }
        let files = getrlimit(Resource::Nofile);
        // Best effort: if the limit cannot be raised, the present one applies.
        setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).ok();
    }
}
