//! Sets up logs, traces and the metrics registry. The modules that use them decide what is recorded,
//! except for the spans, which [`spans`] defines.

pub mod metrics;
pub mod spans;
mod traces;
mod writer;

pub use writer::{flush as flush_log, last_sentences};

use std::{io::IsTerminal, time::Duration};
use traces::Traces;
use tracing::Subscriber;
use tracing_subscriber::{
    Layer, filter::LevelFilter, filter::Targets, fmt::writer::BoxMakeWriter, layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The parts that must be shut down before the process ends.
pub struct Telemetry {
    traces: Option<Traces>,
}

/// Starts logging to standard error from its own thread, and traces if OpenTelemetry's variables name
/// a collector. Lines are JSON if `json` is true; by default they are text on a terminal, and JSON
/// elsewhere. If traces cannot be exported, a warning is logged.
///
/// Must be called within the runtime, on which the exporter connects.
pub fn init(json: Option<bool>, level: LevelFilter) -> Telemetry {
    let (traces, error) = match Traces::from_environment() {
        Ok(traces) => (traces, None),
        Err(sentence) => (None, Some(sentence)),
    };
    // If standard error is closed, there is no log.
    let writer = writer::start().map_or_else(|_| BoxMakeWriter::new(std::io::sink), BoxMakeWriter::new);
    subscriber(json, level, traces.as_ref(), writer).init();
    // The standard hook writes to standard error itself, and may print request data.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(location = panic.location().map(tracing::field::display), "a defect: something panicked");
    }));
    if let Some(sentence) = error {
        tracing::warn!("no traces are exported: {sentence}");
    }
    Telemetry { traces }
}

impl Telemetry {
    /// Exports the last spans, within this time.
    pub async fn shutdown(self, within: Duration) {
        if let Some(traces) = self.traces {
            traces.shutdown(within).await;
        }
    }
}

/// Returns the subscriber. Other crates log at most at INFO, whatever the level: below it, the AWS SDK
/// and the HTTP stack print requests and bodies. h2 logs only errors: it warns of each misbehaving
/// client.
fn subscriber(
    json: Option<bool>,
    level: LevelFilter,
    traces: Option<&Traces>,
    writer: BoxMakeWriter,
) -> impl Subscriber + Send + Sync + use<> {
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target("h2", level.min(LevelFilter::ERROR))
        .with_target(env!("CARGO_CRATE_NAME"), level)
        // The access log is independent of the level: --access-log disables it.
        .with_target("access", LevelFilter::INFO)
        .with_target(spans::TARGET, LevelFilter::OFF);
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match json.unwrap_or(!terminal) {
        true => lines.json().flatten_event(true).boxed(),
        false => lines.with_ansi(terminal).boxed(),
    };
    // A Vec, not `Option<Layer>`: a `None` layer has no level hint, which would enable every span.
    let mut layers = vec![lines.with_filter(targets).boxed()];
    layers.extend(traces.map(|traces| traces.layer().boxed()));
    tracing_subscriber::registry().with(layers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::codegen::http::HeaderMap;

    #[test]
    fn without_a_collector_no_span_is_created() {
        // A subscriber that enables everything creates the spans, which gives their metadata.
        let create = || [spans::call(&HeaderMap::new()), spans::read(&spans::Caller::current())];
        let spans = tracing::subscriber::with_default(tracing_subscriber::registry(), create);
        let subscriber = subscriber(None, LevelFilter::TRACE, None, BoxMakeWriter::new(std::io::sink));
        for metadata in spans.map(|span| span.metadata().expect("the span is enabled")) {
            assert!(subscriber.register_callsite(metadata).is_never(), "{}", metadata.name());
        }
    }

    #[test]
    fn without_a_collector_the_log_level_is_the_max_level() {
        assert_eq!(
            subscriber(None, LevelFilter::DEBUG, None, BoxMakeWriter::new(std::io::sink)).max_level_hint(),
            Some(LevelFilter::DEBUG)
        );
    }
}
