//! Reads the command, runs it, and says with the exit code how it went: 0 well, 1 a failed start, 64 bad configuration.

use face_liveness_facade::{commands, config, telemetry};
use std::process::ExitCode;

/// `EX_USAGE` of sysexits.h.
const BAD_CONFIGURATION: u8 = 64;

fn main() -> ExitCode {
    let (cli, mut problems) = match config::read(std::env::args_os(), |name| std::env::var(name).ok()) {
        Ok(read) => read,
        Err(error) => {
            error.print().ok();
            return if error.use_stderr() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::SUCCESS };
        }
    };
    problems.extend(commands::problems(&cli.command));
    if !problems.is_empty() {
        problems.iter().for_each(|sentence| telemetry::last_sentence(sentence));
        return ExitCode::from(BAD_CONFIGURATION);
    }
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            telemetry::last_sentence(&sentence);
            ExitCode::FAILURE
        }
    }
}
