//! Parses the command line and runs the command. Exits 0 on success, 64 on an invalid
//! configuration, and 1 on any other failure.

use face_liveness_facade::{
    commands::{self, Failure},
    config::{self, Parsed},
    telemetry,
};
use std::process::ExitCode;

/// Costs less per call than glibc's. Cached images have their own pages, which return to the
/// system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `EX_USAGE` of sysexits.h.
const BAD_CONFIGURATION: u8 = 64;

fn main() -> ExitCode {
    let Parsed { cli, variables, mut problems, warnings } = match config::read(std::env::args_os(), std::env::vars_os())
    {
        Ok(parsed) => parsed,
        Err(error) => {
            error.print().ok();
            return if error.use_stderr() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::SUCCESS };
        }
    };
    problems.extend(commands::problems(&cli.command, &variables));
    let end = if problems.is_empty() {
        commands::run(cli.command, &warnings)
    } else {
        Err(Failure::Configuration([problems, warnings].concat()))
    };
    let (sentences, code) = match end {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Configuration(sentences)) => (sentences, ExitCode::from(BAD_CONFIGURATION)),
        Err(Failure::Other(sentence)) => (vec![sentence], ExitCode::FAILURE),
    };
    telemetry::last_sentences(&sentences);
    code
}
