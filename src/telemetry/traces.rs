//! Exports traces by OTLP over gRPC. A slow or unavailable collector does not affect requests.
//!
//! OpenTelemetry's variables configure the export. Its SDK reads most of them: the sampler, the
//! queue, headers, timeouts. The SDK's own log is off; [`Logged`] logs when the export starts to fail.

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

/// The maximum time to export the last spans. Kubernetes allows 30 s for a shutdown, of which the
/// drain uses 25 by default.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The exporter and its queue of 2,048 spans (`OTEL_BSP_MAX_QUEUE_SIZE`). Its own thread exports
/// them. When the queue is full, spans are dropped.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Returns an exporter that connects at its first span, or None if no collector is configured.
    ///
    /// # Errors
    /// One sentence about an invalid setting.
    pub fn from_environment() -> Result<Option<Self>, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(endpoint) = endpoint(variable)? else { return Ok(None) };
        let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic();
        // Load the machine's root certificates only if needed: a minimal image has none.
        let exporter = match endpoint.starts_with("http://") {
            true => exporter,
            false => exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots()),
        };
        let exporter = exporter.build().map_err(|error| error.to_string())?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(variable))
            .with_batch_exporter(Logged { exporter, is_failing: AtomicBool::new(false) });
        Ok(Some(Self(provider.build())))
    }

    /// Returns the layer that exports the spans of [`spans`] with their own attributes only: no log
    /// events, no file, no thread.
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

    /// Exports the queued spans, within this time and [`FLUSH_TIMEOUT`].
    pub async fn shutdown(self, within: Duration) {
        let timeout = within.min(FLUSH_TIMEOUT);
        let flush = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(timeout));
        if !matches!(flush.await, Ok(Ok(()))) {
            tracing::warn!("the collector did not accept the last spans in time; they are lost");
        }
    }
}

/// Returns the URL of the collector, or None if traces are off.
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
            Err(format!("OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}, and this service supports grpc only"))
        }
        _ => Ok(Some(endpoint)),
    }
}

/// Returns the attributes of this service. Those of the environment win.
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

/// An exporter that logs one line when the export starts to fail, and one when it works again.
#[derive(Debug)]
struct Logged<E> {
    exporter: E,
    is_failing: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Logged<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let end = self.exporter.export(batch).await;
        match (&end, self.is_failing.swap(end.is_err(), Ordering::Relaxed)) {
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
    fn the_variables_decide_whether_and_where_traces_are_exported() {
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
    fn an_unsupported_protocol_is_rejected() {
        let endpoint = endpoint_with(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]);
        assert!(endpoint.is_err_and(|sentence| sentence.contains("http/protobuf")));
    }
}
