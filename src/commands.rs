//! What the binary does, a room for each command.

mod check;
#[cfg(feature = "simulator")]
mod demo;
mod health;
mod serve;
mod session_ref;
#[cfg(feature = "simulator")]
mod simulate;

use crate::{config::Command, telemetry};
use tokio::signal::unix::{SignalKind, signal};

/// What shells say of a process that a signal ended: 128 and SIGINT's number.
const STOPPED_AT_ONCE: i32 = 130;

/// What is wrong with the files that a command is told of, and with what it is asked, in a sentence
/// each.
pub fn problems(command: &Command) -> Vec<String> {
    match command {
        Command::Serve(config) => serve::problems(&config.server),
        Command::SessionRef(config) => session_ref::problems(config),
        _ => Vec::new(),
    }
}

/// Why a command ended badly.
pub enum Failure {
    /// The configuration cannot work, for a reason in each sentence.
    Configuration(Vec<String>),
    /// It could not start, or failed later.
    Other(String),
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self::Other(sentence)
    }
}

/// Runs a command to its end. `warnings` are about its configuration.
///
/// # Errors
/// When it could not start, or ended badly.
pub fn run(command: Command, warnings: &[String]) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("cannot start: {error}"))?;
    let end = runtime.block_on(async {
        match command {
            Command::Serve(config) => serve::run(config, warnings).await,
            #[cfg(feature = "simulator")]
            Command::Demo(config) => Ok(demo::run(config, warnings).await?),
            #[cfg(feature = "simulator")]
            Command::Simulate(config) => Ok(simulate::run(config, warnings).await?),
            Command::Check(config) => check::run(config, warnings).await,
            Command::Health(config) => Ok(health::run(config).await?),
            Command::SessionRef(config) => Ok(session_ref::run(config)?),
        }
    });
    // Whatever was cut off after the drain timeout ends with the process, and is not waited for.
    runtime.shutdown_background();
    telemetry::flush_log();
    end
}

/// Logs what is probably wrong with the configuration.
fn warn(sentences: &[String]) {
    sentences.iter().for_each(|sentence| tracing::warn!("{sentence}"));
}

/// Completes when the process is asked to stop: SIGINT is a Ctrl-C, SIGTERM is Kubernetes. Signals
/// count from the call on, and not from when the future is first polled. A second one ends the
/// process at once.
fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
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
