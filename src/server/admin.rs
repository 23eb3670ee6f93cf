//! The admin port: plaintext HTTP for those who watch and operate the service, and gRPC health for
//! probes, since the kubelet's speak no TLS.
//!
//! It answers to the very end of the process, and never with anything about a person.

use super::{MAX_HTTP2_HEADER_BYTES, STREAM_WINDOW_BYTES, health::Health};
use crate::{grpc::admission::Admitted, telemetry::metrics};
use axum::{Router, http::StatusCode, http::header::CONTENT_TYPE, routing::get};
use std::time::Duration;
use tonic::{service::Routes, transport::server::Router as Services};
use tonic_health::pb::health_server::{self, HealthServer};
use tower::layer::{
    LayerFn, layer_fn,
    util::{Identity, Stack},
};

/// A connection is asked to end at this age, and cut off at twice that, so that none keeps the
/// places of the few for ever.
pub const MAX_CONNECTION_AGE: Duration = Duration::from_secs(60);

const INDEX: &str = "/metrics  Prometheus metrics
/livez    200 while the process lives
/readyz   200 while the service is ready, else 503
gRPC      grpc.health.v1.Health
";

/// Calls at once on a connection.
const MAX_STREAMS: u32 = 20;

/// The port's services. `scrape` gives the metrics as text, and `admit` limits the streams.
pub fn services<A: Fn(Routes) -> Admitted<Routes> + Clone>(
    health: Health,
    health_service: HealthServer<impl health_server::Health>,
    scrape: impl Fn() -> String + Clone + Send + Sync + 'static,
    admit: A,
) -> Services<Stack<LayerFn<A>, Identity>> {
    let ready = move || async move {
        match health.is_ready() {
            true => (StatusCode::OK, "ready\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        }
    };
    let router = Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/metrics", get(move || async move { ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], scrape()) }))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready));
    tonic::transport::Server::builder()
        .accept_http1(true)
        .max_connection_age(MAX_CONNECTION_AGE)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_max_header_list_size(MAX_HTTP2_HEADER_BYTES)
        .layer(layer_fn(admit))
        .add_routes(Routes::from(router))
        .add_service(health_service)
}
