//! Where logs and traces go, and in which shape, and what is counted. What is logged is decided
//! where it happens; what a trace tells, in `spans`.

pub mod metrics;
pub mod spans;
mod traces;
mod writer;

pub use writer::{flush as flush_log, last_sentences};

use clap::ValueEnum;
use std::{io::IsTerminal, time::Duration};
use traces::Traces;
use tracing::Subscriber;
use tracing_subscriber::{
    Layer, filter::LevelFilter, filter::Targets, fmt::writer::BoxMakeWriter, layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What has to end with the process.
pub struct Telemetry {
    traces: Option<Traces>,
}

/// Starts logging to standard error, from a thread of its own, and traces where OpenTelemetry's
/// variables name a collector. Without a format it is text on a terminal, and JSON elsewhere.
/// Traces that cannot be had are warned of: they are no reason not to serve.
///
/// Has to be called within the runtime, which the exporter connects on.
pub fn init(format: Option<Format>, level: Level) -> Telemetry {
    let (traces, refusal) = match Traces::from_environment() {
        Ok(traces) => (traces, None),
        Err(sentence) => (None, Some(sentence)),
    };
    // If standard error is closed, there is no log.
    let writer = writer::start().map_or_else(|_| BoxMakeWriter::new(std::io::sink), BoxMakeWriter::new);
    subscriber(format, level, traces.as_ref(), writer).init();
    // The standard hook writes to standard error by itself, and prints values that the program
    // works on.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(location = panic.location().map(tracing::field::display), "a defect: something panicked");
    }));
    if let Some(sentence) = refusal {
        tracing::warn!("no traces are exported: {sentence}");
    }
    Telemetry { traces }
}

impl Telemetry {
    /// Sends the last spans, for as long at most.
    pub async fn shutdown(self, within: Duration) {
        if let Some(traces) = self.traces {
            traces.shutdown(within).await;
        }
    }
}

/// Targets that are not this program's are capped at INFO whatever the level: the AWS SDK and the
/// HTTP stack print requests and bodies below that. HTTP/2 warns of what callers do wrong, a line
/// for each connection that somebody cares to open; its errors alone are of interest.
fn subscriber(
    format: Option<Format>,
    level: Level,
    traces: Option<&Traces>,
    writer: BoxMakeWriter,
) -> impl Subscriber + Send + Sync + use<> {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target("h2", level.min(LevelFilter::ERROR))
        .with_target(env!("CARGO_CRATE_NAME"), level)
        // Who has seen faces is told at every level: --access-log is its switch.
        .with_target("access", LevelFilter::INFO)
        .with_target(spans::TARGET, LevelFilter::OFF);
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { Format::Text } else { Format::Json });
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        Format::Text => lines.with_ansi(terminal).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    // A list, and no Option: tracing takes an absent layer for one that may want everything, and
    // would make every span.
    let mut layers = vec![lines.with_filter(targets).boxed()];
    layers.extend(traces.map(|traces| traces.layer().boxed()));
    tracing_subscriber::registry().with(layers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::codegen::http::HeaderMap;

    #[test]
    fn without_a_collector_no_span_is_made() {
        // Under a subscriber that takes everything they are made, and tell what they are.
        let made = || [spans::call(&HeaderMap::new()), spans::read(&spans::Caller::current())];
        let spans = tracing::subscriber::with_default(tracing_subscriber::registry(), made);
        let subscriber = subscriber(None, Level::Trace, None, BoxMakeWriter::new(std::io::sink));
        for metadata in spans.map(|span| span.metadata().expect("it is made")) {
            assert!(subscriber.register_callsite(metadata).is_never(), "{}", metadata.name());
        }
    }

    #[test]
    fn without_a_collector_the_log_alone_decides_which_lines_are_looked_at() {
        assert_eq!(
            subscriber(None, Level::Debug, None, BoxMakeWriter::new(std::io::sink)).max_level_hint(),
            Some(LevelFilter::DEBUG)
        );
    }
}
