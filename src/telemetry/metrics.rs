//! The registry of metrics, for Prometheus. Each module registers its own metrics here.
//!
//! Every series exists from the start, at zero: a rate over a counter that appears with its first
//! event misses that event. Labels have values from this program's own tables and its configuration
//! only, never from outside.

use super::writer;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, TextEncoder,
    core::Collector, process_collector::ProcessCollector,
};

/// The content type of [`Registry::text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The metrics of one server. Those of the process itself and of the log are registered already.
pub struct Registry {
    registry: prometheus::Registry,
    log_lines_lost: IntCounter,
}

impl Default for Registry {
    fn default() -> Self {
        let log_lines_lost = IntCounter::new(
            "face_liveness_log_lines_lost_total",
            "Log lines that were dropped because standard error was not read fast enough.",
        );
        let log_lines_lost = log_lines_lost.expect("the name is well formed");
        let new = Self { registry: prometheus::Registry::new(), log_lines_lost: log_lines_lost.clone() };
        new.register(Ok(log_lines_lost));
        let build = Opts::new("face_liveness_build_info", "Always 1; the version is in the label.");
        new.register(IntGauge::with_opts(build.const_label("version", env!("CARGO_PKG_VERSION")))).set(1);
        #[cfg(target_os = "linux")]
        new.registry.register(Box::new(ProcessCollector::for_self())).expect("it is registered once");
        new
    }
}

impl Registry {
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    pub fn float_gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help))
    }

    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.into())))
    }

    /// Registers one gauge for each value of the label.
    pub fn gauges(&self, name: &str, help: &str, (label, values): (&str, &[&str])) -> IntGaugeVec {
        let gauges = self.register(IntGaugeVec::new(Opts::new(name, help), &[label]));
        for value in values {
            gauges.with_label_values(&[value]);
        }
        gauges
    }

    /// Registers one counter for each value of the label.
    pub fn counters(&self, name: &str, help: &str, (label, values): (&str, &[&str])) -> IntCounterVec {
        let counters = self.register(IntCounterVec::new(Opts::new(name, help), &[label]));
        for value in values {
            counters.with_label_values(&[value]);
        }
        counters
    }

    /// Registers what a constructor of `prometheus` made. The caller adds the series.
    pub fn register<C: Collector + Clone + 'static>(&self, collector: prometheus::Result<C>) -> C {
        let collector = collector.expect("names are constants and well formed");
        self.registry.register(Box::new(collector.clone())).expect("each name is used once");
        collector
    }

    /// Returns all metrics in Prometheus's text format, 0.0.4.
    pub fn text(&self) -> String {
        self.log_lines_lost.reset();
        self.log_lines_lost.inc_by(writer::lost_lines());
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("names and labels are constants")
    }
}
