//! Reads the command, runs it, and says with the exit code how it went: 0 well, 1 a failed start, 64 bad configuration.

use face_liveness_facade::{
    commands::{self, End},
    config::{self, Misuse},
};
use std::process::ExitCode;

/// `EX_USAGE` of sysexits.h.
const BAD_CONFIGURATION: u8 = 64;

fn main() -> ExitCode {
    let cli = match config::read(std::env::args_os(), |name| std::env::var(name).ok()) {
        Ok(cli) => cli,
        Err(Misuse::Usage(error)) => {
            error.print().ok();
            return if error.use_stderr() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::SUCCESS };
        }
        Err(Misuse::Values(sentences)) => return bad_configuration(&sentences),
    };
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(End::Usage(sentences)) => bad_configuration(&sentences),
        Err(End::Failed(sentence)) => {
            eprintln!("face-liveness-facade: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn bad_configuration(sentences: &[String]) -> ExitCode {
    for sentence in sentences {
        eprintln!("face-liveness-facade: {sentence}");
    }
    ExitCode::from(BAD_CONFIGURATION)
}
