//! The command line and the variables, read as a whole: whoever mends a configuration sees all that
//! is wrong with it at once.

use super::{
    Cli, Command,
    environment::{self, Variables},
    names,
};
use clap::{CommandFactory, FromArgMatches, error::ContextKind, error::ContextValue, error::ErrorKind};
use std::{error::Error, ffi::OsString};

/// A command line and its environment, as far as they are good.
pub struct Parsed {
    pub cli: Cli,
    /// What is wrong, in a sentence each. A bad value counts as not given in `cli`.
    pub problems: Vec<String>,
    /// What is probably not meant so, in a sentence each.
    pub warnings: Vec<String>,
}

/// Parses the command line, and checks the environment for the command.
///
/// # Errors
/// Not a command line of this program, or a request for help or the version: clap says it best.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Parsed, clap::Error> {
    // No rule accepts the character that stands for bytes which are not UTF-8.
    let variables: Variables = variables
        .into_iter()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    let mut command = Cli::command();
    let mut problems = Vec::new();
    let cli = loop {
        let error = match command.clone().try_get_matches_from(&arguments) {
            Ok(matches) => break Cli::from_arg_matches(&matches)?,
            Err(error) => error,
        };
        let Some(bad) = bad_argument(&command, &arguments, &error) else { return Err(error) };
        problems.push(sentence(&bad, &error));
        // Read once more without this one, for what else there is. Each round has a value less.
        let given = arguments.len();
        without(&mut arguments, bad.get_long().unwrap_or_default());
        if arguments.len() == given && bad.get_env().is_none() {
            return Err(error);
        }
        command = forget_variable(command, &bad);
    };
    if let Command::Serve(serve) = &cli.command {
        problems.extend(serve.problems());
    }
    if matches!(cli.command, Command::Serve(_) | Command::Check(_)) {
        problems.extend(environment::problems(&variables));
    }
    let mut warnings = Vec::new();
    // A misspelled name does not make a running server unhealthy.
    if !matches!(cli.command, Command::Health(_) | Command::SessionRef(_)) {
        let (misspelled, unknown) = names::check(&variables);
        problems.extend(misspelled);
        warnings.extend(unknown);
    }
    Ok(Parsed { cli, problems, warnings })
}

/// The flag whose value is bad.
fn bad_argument(command: &clap::Command, arguments: &[OsString], error: &clap::Error) -> Option<clap::Arg> {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return None;
    }
    // As the help has it: `--image-ttl <DURATION>`.
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = shown.split_whitespace().next()?.strip_prefix("--")?;
    let called = arguments.iter().skip(1).find_map(|name| command.find_subcommand(name))?;
    called.get_arguments().find(|argument| argument.get_long() == Some(flag)).cloned()
}

fn sentence(argument: &clap::Arg, error: &clap::Error) -> String {
    let flag = argument.get_long().unwrap_or_default();
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

/// Takes a flag and its values out of a command line.
fn without(arguments: &mut Vec<OsString>, flag: &str) {
    let (alone, joined) = (format!("--{flag}"), format!("--{flag}="));
    let mut value_follows = false;
    arguments.retain(|argument| {
        let text = argument.to_string_lossy();
        let is_value = std::mem::take(&mut value_follows) && !text.starts_with("--");
        value_follows = text == alone;
        !(is_value || value_follows || text.starts_with(&joined))
    });
}

fn forget_variable(command: clap::Command, bad: &clap::Arg) -> clap::Command {
    let names: Vec<_> = command.get_subcommands().map(|subcommand| subcommand.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |subcommand| {
            let has_it = subcommand.get_arguments().any(|argument| argument.get_id() == bad.get_id());
            if has_it {
                subcommand.mut_arg(bad.get_id(), |argument| argument.env(None::<&'static str>))
            } else {
                subcommand
            }
        })
    })
}
