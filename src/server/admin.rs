//! The admin port, in plaintext: metrics and readiness over HTTP, and gRPC health, since the
//! kubelet's probes do not use TLS.
//!
//! It serves until the process ends. No response contains personal data.

use super::{health::Health, http2, scrapes::Scrapes};
use crate::telemetry::metrics;
use axum::{Router, http::StatusCode, http::header::CONTENT_TYPE, routing::get};
use tonic::{service::Routes, transport::server::Router as Services};
use tonic_health::{pb::health_server::HealthServer, server::HealthService};
use tower::layer::util::{Identity, Stack};

const INDEX: &str = "/metrics  Prometheus metrics
/livez    200 while the process lives
/readyz   200 while the service is ready, else 503
gRPC      grpc.health.v1.Health
";

/// Returns the services of the port. `admit` limits the streams.
pub fn services<L: Clone>(
    health: Health,
    health_service: HealthServer<HealthService>,
    scrapes: Scrapes,
    admit: L,
) -> Services<Stack<L, Identity>> {
    let ready = move || async move {
        match health.is_ready() {
            true => (StatusCode::OK, "ready\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        }
    };
    let metrics = || async { ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], scrapes.text().await) };
    let router = Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready));
    http2::admin_port().layer(admit).add_routes(Routes::from(router)).add_service(health_service)
}
