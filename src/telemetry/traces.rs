//! Traces by OTLP over gRPC: whether, where to, and that a collector which is slow or away costs
//! nobody anything.
//!
//! They are set by OpenTelemetry's own variables, most of which its SDK reads itself: the sampler,
//! the queue, headers, timeouts. The SDK logs nothing here (its feature for that is off); what an
//! operator has to know is told once by [`Watched`].

use super::spans;
use opentelemetry::{InstrumentationScope, KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{WithTonicConfig, tonic_types::transport::ClientTlsConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tracing::Subscriber;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, filter_fn},
    registry::LookupSpan,
};

/// How long the last spans may take to leave. They are worth a moment of a stop and no more:
/// Kubernetes gives it 30 s, of which requests in flight have 20 by default.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The exporter and its queue of 2048 spans (`OTEL_BSP_MAX_QUEUE_SIZE`). A thread of its own
/// empties it; what finds it full is dropped.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// An exporter that connects when it first has something to send; nothing when no collector is
    /// named.
    ///
    /// # Errors
    /// One sentence, when a setting makes no sense.
    pub fn from_environment() -> Result<Option<Self>, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(endpoint) = endpoint(variable)? else { return Ok(None) };
        let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic();
        // The machine's root certificates are looked for only where they are needed: a minimal
        // image has none.
        let exporter = match endpoint.starts_with("http://") {
            true => exporter,
            false => exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots()),
        };
        let exporter = exporter.build().map_err(|error| error.to_string())?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(variable))
            .with_batch_exporter(Watched { exporter, fails: AtomicBool::new(false) });
        Ok(Some(Self(provider.build())))
    }

    /// Takes this program's own spans, and of them nothing but what they were given: no log line
    /// becomes an event, and neither file nor thread an attribute.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION"));
        let ours = filter_fn(|metadata| metadata.is_span() && metadata.target() == spans::TARGET);
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer_with_scope(scope.build()))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(ours.with_max_level_hint(LevelFilter::INFO))
    }

    /// Sends what is queued, as far as it can within that time.
    pub async fn shutdown(self, within: Duration) {
        let timeout = within.min(FLUSH_TIMEOUT);
        let flush = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(timeout));
        if !matches!(flush.await, Ok(Ok(()))) {
            tracing::warn!("the collector did not take the last spans in time; they are lost");
        }
    }
}

/// Where to export to; nothing when no traces are wanted.
/// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>
fn endpoint(variable: impl Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    let is = |name, value| variable(name).is_some_and(|set| set.eq_ignore_ascii_case(value));
    let of_traces = |what| {
        let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")];
        names.iter().find_map(|name| variable(name))
    };
    let off = is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none");
    let Some(endpoint) = of_traces("ENDPOINT").filter(|_| !off) else { return Ok(None) };
    match of_traces("PROTOCOL") {
        Some(protocol) if protocol != "grpc" => {
            Err(format!("OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}, and this service speaks grpc only"))
        }
        _ => Ok(Some(endpoint)),
    }
}

/// Who sends the spans. What the environment says of it wins.
fn resource(variable: impl Fn(&str) -> Option<String>) -> Resource {
    let ours = [("service.name", env!("CARGO_PKG_NAME")), ("service.version", env!("CARGO_PKG_VERSION"))];
    let resource = Resource::builder_empty()
        .with_attributes(ours.map(|(name, value)| KeyValue::new(name, value)))
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match variable("OTEL_SERVICE_NAME") {
        Some(name) => resource.with_service_name(name).build(),
        None => resource.build(),
    }
}

/// Tells once that spans do not arrive, and once that they do again: a collector that is away for
/// an hour is one trouble, not 720.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    fails: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let end = self.exporter.export(batch).await;
        match (&end, self.fails.swap(end.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => {
                tracing::warn!(%error, "spans do not reach the collector, and are lost until they do")
            }
            (Ok(()), true) => tracing::info!("spans reach the collector again"),
            (Err(_), true) | (Ok(()), false) => {}
        }
        end
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all");

    fn endpoint_with(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        endpoint(|name| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn traces_are_exported_where_the_variables_say_and_only_then() {
        let to = |endpoint: &str| Ok(Some(endpoint.to_owned()));
        let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces");
        assert_eq!(endpoint_with(&[]), Ok(None));
        assert_eq!(endpoint_with(&[ENDPOINT]), to("http://all"));
        assert_eq!(endpoint_with(&[of_traces]), to("http://traces"));
        assert_eq!(endpoint_with(&[ENDPOINT, of_traces]), to("http://traces"));
        assert_eq!(endpoint_with(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), to("http://all"));
        assert_eq!(endpoint_with(&[ENDPOINT, ("OTEL_SDK_DISABLED", "false")]), to("http://all"));
        for off in [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(endpoint_with(&[ENDPOINT, off]), Ok(None));
        }
    }

    #[test]
    fn a_protocol_that_is_not_spoken_is_refused() {
        let refusal = endpoint_with(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]);
        assert!(refusal.is_err_and(|sentence| sentence.contains("http/protobuf")));
    }
}
