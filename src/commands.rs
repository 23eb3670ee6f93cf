//! The commands of the binary, one module for each.

mod check;
#[cfg(feature = "simulator")]
mod demo;
mod descriptor_set;
mod environment;
mod failure;
mod health;
mod open_files;
mod serve;
mod session_ref;
#[cfg(feature = "simulator")]
mod simulate;

pub use failure::Failure;

use crate::{
    config::{Command, Variables},
    telemetry,
};

/// Validates the files of a command, its arguments and the variables of its libraries. Returns one
/// sentence for each problem.
pub fn problems(command: &Command, variables: &Variables) -> Vec<String> {
    match command {
        Command::Serve(config) => [environment::problems(variables), serve::problems(&config.server)].concat(),
        Command::Check(config) => {
            environment::problems(variables).into_iter().chain(config.shared_cache.settings().err()).collect()
        }
        Command::SessionRef(config) => session_ref::problems(config),
        _ => Vec::new(),
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
            Command::DescriptorSet => Ok(descriptor_set::run()?),
        }
    });
    // Does not wait for requests that outlasted the drain timeout.
    runtime.shutdown_background();
    telemetry::flush_log();
    end
}
