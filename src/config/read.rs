//! Parses the command line and the variables. Reports all problems at once.

use super::{
    cli::{Cli, Command, EXIT_CODES},
    effective::EffectiveOptions,
    names::{self, Variables},
};
use clap::{CommandFactory, FromArgMatches, error::ContextKind, error::ContextValue, error::ErrorKind};
use std::{error::Error, ffi::OsString, mem};

/// A command line and its environment.
pub struct Parsed {
    /// The values that are valid. An invalid one counts as absent.
    pub cli: Cli,
    pub variables: Variables,
    /// One sentence for each error.
    pub problems: Vec<String>,
    /// One sentence for each likely mistake.
    pub warnings: Vec<String>,
}

/// Parses the command line and the variables of this program.
///
/// # Errors
/// An unknown command or flag, or a request for help or the version. clap has the text.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Parsed, clap::Error> {
    // Bytes that are not UTF-8 become a character that no rule accepts.
    let variables: Variables = variables
        .into_iter()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    let mut command = Cli::command().mut_subcommands(|subcommand| subcommand.after_help(EXIT_CODES));
    let mut problems = Vec::new();
    let matches = loop {
        let error = match command.clone().try_get_matches_from(&arguments) {
            Ok(matches) => break matches,
            Err(error) => error,
        };
        // clap stops at the first invalid value. Without that value, it finds the next one.
        let Some(invalid) = invalid_argument(&command, &arguments, &error) else { return Err(error) };
        let flag = invalid.get_long().unwrap_or_default();
        problems.push(sentence(&invalid, flag, &error));
        let before = arguments.len();
        remove(&mut arguments, flag);
        if arguments.len() == before && invalid.get_env().is_none() {
            return Err(error);
        }
        command = command.mut_subcommands(|subcommand| {
            subcommand.mut_args(|arg| if arg.get_long() == Some(flag) { arg.env(None::<&'static str>) } else { arg })
        });
    };
    let mut cli = Cli::from_arg_matches(&matches)?;
    match &mut cli.command {
        Command::Serve(serve) => {
            problems.extend(serve.problems());
            serve.effective = EffectiveOptions::of(&command, &matches);
        }
        Command::Check(check) => problems.extend(check.shared_cache.problems()),
        _ => {}
    }
    let mut warnings = Vec::new();
    // A misspelled name does not make a running server unhealthy.
    if !matches!(cli.command, Command::Health(_) | Command::SessionRef(_) | Command::DescriptorSet) {
        let (misspelled, unknown) = names::check(&variables);
        problems.extend(misspelled);
        warnings.extend(unknown);
    }
    Ok(Parsed { cli, variables, problems, warnings })
}

/// Returns the flag whose value is invalid.
fn invalid_argument(command: &clap::Command, arguments: &[OsString], error: &clap::Error) -> Option<clap::Arg> {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return None;
    }
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    // As in the help: `--image-ttl <DURATION>`.
    let flag = shown.split_whitespace().next()?.strip_prefix("--")?;
    let called = arguments.iter().skip(1).find_map(|name| command.find_subcommand(name))?;
    called.get_arguments().find(|argument| argument.get_long() == Some(flag)).cloned()
}

fn sentence(argument: &clap::Arg, flag: &str, error: &clap::Error) -> String {
    let variable = argument.get_env().map(|name| format!(" ({})", name.display())).unwrap_or_default();
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if !value.is_empty() => format!(" cannot be {value:?}"),
        _ => " has no value".to_owned(),
    };
    let rule = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => format!(": it {source}"),
        (None, Some(ContextValue::Strings(valid))) if !valid.is_empty() => {
            format!(": it must be one of {}", valid.join(", "))
        }
        _ => String::new(),
    };
    format!("--{flag}{variable}{value}{rule}")
}

/// Removes a flag and its values from a command line.
fn remove(arguments: &mut Vec<OsString>, flag: &str) {
    let (alone, joined) = (format!("--{flag}"), format!("--{flag}="));
    let mut value_follows = false;
    arguments.retain(|argument| {
        let text = argument.to_string_lossy();
        let is_value = mem::take(&mut value_follows) && !text.starts_with("--");
        value_follows = text == alone;
        !(is_value || value_follows || text.starts_with(&joined))
    });
}
