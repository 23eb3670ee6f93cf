//! The commands of the binary, one module for each.

mod check;
#[cfg(feature = "simulator")]
mod demo;
mod environment;
mod health;
mod serve;
mod session_ref;
#[cfg(feature = "simulator")]
mod simulate;

use crate::{
    config::{Command, Variables},
    telemetry,
};
use tokio::signal::unix::{SignalKind, signal};

/// The exit code of a process that SIGINT ended, as shells report it: 128 plus the signal.
const STOPPED_AT_ONCE: i32 = 130;

/// Validates the files of a command, its arguments and the variables of its libraries. Returns one
/// sentence for each problem.
pub fn problems(command: &Command, variables: &Variables) -> Vec<String> {
    match command {
        Command::Serve(config) => [environment::problems(variables), serve::problems(&config.server)].concat(),
        Command::Check(_) => environment::problems(variables),
        Command::SessionRef(config) => session_ref::problems(config),
        _ => Vec::new(),
    }
}

/// Why a command failed.
pub enum Failure {
    /// The configuration is invalid. One sentence for each problem.
    Configuration(Vec<String>),
    /// The command could not start, or failed later.
    Other(String),
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self::Other(sentence)
    }
}

/// Runs a command until it ends, and logs the `warnings` about its configuration.
///
/// # Errors
/// The command could not start, or failed later.
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
    // Does not wait for requests that outlasted the drain timeout.
    runtime.shutdown_background();
    telemetry::flush_log();
    end
}

/// Logs warnings about the configuration.
fn warn(sentences: &[String]) {
    sentences.iter().for_each(|sentence| tracing::warn!("{sentence}"));
}

/// Returns a future that completes at the first SIGINT (Ctrl-C) or SIGTERM (Kubernetes) after this
/// call. A second signal ends the process at once.
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
