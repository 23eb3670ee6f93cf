//! The metrics of the ports, the connections and the certificate.

use super::incoming::{CloseReason, Connections};
use crate::telemetry::metrics::Registry;
use prometheus::{Gauge, IntCounterVec, IntGauge};

pub struct ServerMetrics {
    // Set at each scrape.
    pub requests_in_flight: IntGauge,
    pub ready: IntGauge,
    connections: IntGauge,
    connections_closed: IntCounterVec,
    /// Changed certificate files: `ok`, `failed`.
    pub tls_reloads: IntCounterVec,
    /// Expiry of the certificate in seconds since 1970; 0 without one, or if it has no valid date.
    pub tls_not_after: Gauge,
}

impl ServerMetrics {
    pub fn new(registry: &Registry) -> Self {
        Self {
            requests_in_flight: registry
                .gauge("face_liveness_requests_in_flight", "Requests in flight, including waits."),
            ready: registry.gauge("face_liveness_ready", "Whether this replica is ready: 1 or 0."),
            connections: registry.gauge("face_liveness_connections", "Open connections of the gRPC port."),
            connections_closed: registry.counters(
                "face_liveness_connections_closed_total",
                "Connections that were closed before their first request, by reason.",
                ("reason", &CloseReason::ALL.map(CloseReason::label)),
            ),
            tls_reloads: registry.counters(
                "face_liveness_tls_reloads_total",
                "Reloads of changed certificate files, by outcome.",
                ("outcome", &["ok", "failed"]),
            ),
            tls_not_after: registry.float_gauge(
                "face_liveness_tls_certificate_expiry_timestamp_seconds",
                "Expiry of the server's certificate, in seconds since 1970; 0 without one.",
            ),
        }
    }

    /// Copies the counts of a port.
    pub fn set_connections(&self, connections: &Connections) {
        self.connections.set(connections.live() as i64);
        for reason in CloseReason::ALL {
            let counter = self.connections_closed.with_label_values(&[reason.label()]);
            counter.reset();
            counter.inc_by(connections.closed(reason));
        }
    }
}
