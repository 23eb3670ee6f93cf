//! Makes metrics that are registered and have all their series.

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};

pub struct New<'a>(pub &'a Registry);

impl New<'_> {
    pub fn register<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        sound(self.0.register(Box::new(collector.clone())));
        collector
    }

    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(sound(IntCounter::new(name, help)))
    }

    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(sound(IntGauge::new(name, help)))
    }

    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(sound(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.into()))))
    }

    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(sound(GaugeVec::new(Opts::new(name, help), labels)))
    }

    pub fn int_gauges(&self, name: &str, help: &str, (label, values): (&str, &[&str])) -> IntGaugeVec {
        let gauges = self.register(sound(IntGaugeVec::new(Opts::new(name, help), &[label])));
        for value in values {
            gauges.with_label_values(&[value]);
        }
        gauges
    }

    pub fn counters(&self, name: &str, help: &str, labels: &[(&str, &[&str])]) -> IntCounterVec {
        let names: Vec<_> = labels.iter().map(|(name, _)| *name).collect();
        let counters = self.register(sound(IntCounterVec::new(Opts::new(name, help), &names)));
        for first in labels[0].1 {
            match labels.get(1) {
                None => drop(counters.with_label_values(&[first])),
                Some((_, seconds)) => {
                    seconds.iter().for_each(|second| drop(counters.with_label_values(&[first, second])))
                }
            }
        }
        counters
    }
}

pub fn sound<T>(made: prometheus::Result<T>) -> T {
    made.expect("names are constants, well formed and each used once")
}
