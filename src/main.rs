//! Reads the command, runs it, and says with the exit code how it went: 0 well, 1 a failed start, 64 bad configuration.

use clap::Parser;
use face_liveness_facade::{commands, config::Cli};
use std::process::ExitCode;

/// `EX_USAGE` of sysexits.h.
const BAD_CONFIGURATION: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            error.print().ok();
            return if error.use_stderr() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::SUCCESS };
        }
    };
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("face-liveness-facade: {sentence}");
            ExitCode::FAILURE
        }
    }
}
