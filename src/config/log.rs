//! The settings of the log.

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use std::str::FromStr;
use tracing::level_filters::LevelFilter;

#[derive(Args, Debug)]
pub struct Log {
    /// Format of log lines [default: text on a terminal, else json]
    #[arg(long, help_heading = "Logs", env = "FACE_LIVENESS_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Level of the log. Libraries log at most at info.
    #[arg(long, help_heading = "Logs", env = "FACE_LIVENESS_LOG_LEVEL", default_value = "info", value_parser = PossibleValuesParser::new(["error", "warn", "info", "debug", "trace"]).try_map(|level| LevelFilter::from_str(&level)))]
    pub log_level: LevelFilter,
}

impl Log {
    /// Whether lines are JSON, if the operator chose.
    pub fn json(&self) -> Option<bool> {
        self.log_format.map(|format| format == LogFormat::Json)
    }
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object per line.
    Json,
}
