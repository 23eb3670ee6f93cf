//! The options of a command with their values, for the log.

use super::value::Secret;
use clap::{Arg, ArgMatches, Command, parser::ValueSource};
use std::any::TypeId;

/// All options of a command as flags with values, without secrets.
#[derive(Clone, Debug, Default)]
pub struct EffectiveOptions {
    /// Those that a flag or a variable sets.
    pub set: String,
    /// Those that have their default.
    pub defaults: String,
}

impl EffectiveOptions {
    /// Returns the options of the subcommand that was called.
    pub fn of(command: &Command, matches: &ArgMatches) -> Self {
        let Some((name, matches)) = matches.subcommand() else { return Self::default() };
        let options = command.find_subcommand(name).into_iter().flat_map(Command::get_arguments);
        let (defaults, set): (Vec<_>, Vec<_>) = options
            .filter_map(|option| Some((matches.value_source(option.get_id().as_str())?, shown(option, matches)?)))
            .partition(|(source, _)| *source == ValueSource::DefaultValue);
        let line = |options: Vec<(ValueSource, String)>| {
            options.into_iter().map(|(_, option)| option).collect::<Vec<_>>().join(" ")
        };
        Self { set: line(set), defaults: line(defaults) }
    }
}

/// Returns `--flag=value`, without the value of a [`Secret`].
fn shown(option: &Arg, matches: &ArgMatches) -> Option<String> {
    let (flag, values) = (option.get_long()?, matches.get_raw(option.get_id().as_str())?);
    if !option.get_action().takes_values() {
        return None;
    }
    let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
    let is_secret = option.get_value_parser().type_id() == TypeId::of::<Secret>();
    let value = if is_secret { "(secret)".to_owned() } else { values.join(",") };
    // A value with spaces or control characters is quoted.
    let is_plain = value.chars().all(|character| !character.is_whitespace() && !character.is_control());
    Some(if is_plain { format!("--{flag}={value}") } else { format!("--{flag}={value:?}") })
}
