//! Writes log lines from a thread of their own, so that a stalled reader of standard error does not
//! block the runtime.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    sync::{Mutex, OnceLock, mpsc},
    thread,
    time::Duration,
};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// The most lines in the queue, about 2 MiB at 400 bytes each. More are dropped and counted.
const MAX_LINES: usize = 4_096;

/// How long the process waits for the last lines when it ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    lost: ErrorCounter,
    /// Flushes the last lines when it is dropped.
    worker: Mutex<Option<WorkerGuard>>,
}

/// Starts the thread. Called once.
///
/// # Errors
/// Standard error is closed.
pub fn start() -> io::Result<NonBlocking> {
    // Not `io::stderr`, whose lock a stalled write holds.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_LINES).thread_name("log");
    let (writer, worker) = builder.finish(stderr);
    LOG.get_or_init(|| Log { lost: writer.error_counter(), worker: Mutex::new(Some(worker)) });
    Ok(writer)
}

/// Returns how many lines were lost because standard error was not read fast enough.
pub fn lost_lines() -> u64 {
    LOG.get().map_or(0, |log| log.lost.dropped_lines() as u64)
}

/// Waits until all lines are written, for at most [`FLUSH_TIMEOUT`].
pub fn flush() {
    let worker = LOG.get().and_then(|log| log.worker.lock().expect("nothing panics under this lock").take());
    if let Some(worker) = worker {
        within(FLUSH_TIMEOUT, move || drop(worker));
    }
}

/// Writes the last sentences of the program to standard error, within [`FLUSH_TIMEOUT`].
pub fn last_sentences(sentences: &[String]) {
    let lines: String = sentences.iter().map(|sentence| format!("face-liveness-facade: {sentence}\n")).collect();
    within(FLUSH_TIMEOUT, move || drop(io::stderr().write_all(lines.as_bytes())));
}

/// Runs `work`, and waits for it at most `timeout`: it may block on a pipe that is not read.
fn within(timeout: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        work();
        drop(done);
    });
    ended.recv_timeout(timeout).ok();
}
