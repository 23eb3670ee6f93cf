//! The metrics of the caches.

use crate::telemetry::metrics::Registry;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

/// The caches, as the label `cache` names them.
pub const CACHES: [&str; 4] = ["results", "images", "unfinished", "refusals"];

pub struct CacheMetrics {
    /// Entries that were evicted because the cache was full, by cache.
    pub evictions: IntCounterVec,
    // Set at each scrape.
    pub entries: IntGaugeVec,
    pub image_bytes: IntGauge,
}

impl CacheMetrics {
    pub fn new(registry: &Registry) -> Self {
        let bytes = registry.gauges(
            "face_liveness_cache_bytes",
            "Bytes of image content in the cache.",
            ("cache", &["images"]),
        );
        Self {
            evictions: registry.counters(
                "face_liveness_cache_evictions_total",
                "Entries that were evicted because their cache was full.",
                ("cache", &CACHES),
            ),
            entries: registry.gauges("face_liveness_cache_entries", "Entries, by cache.", ("cache", &CACHES)),
            image_bytes: bytes.with_label_values(&["images"]),
        }
    }
}
