//! The wiring: bound sockets, the services on them, their health, and the way to stop.

mod admin;
mod health;
pub mod incoming;
mod metrics;
mod reflection;
mod socket;
pub mod tls;

pub use socket::{address, bind};

use crate::{
    config,
    error::Reason,
    grpc::{
        Recorder, Service,
        admission::{Admission, Admitted},
        calls::Counted,
        metrics::{CallMetrics, ResponseMetrics},
    },
    rekognition::{NoCredentials, Rekognition},
    results::{Results, SharedCacheSettings},
    session::SessionRefKey,
    store::{self, Store, StoreMetrics},
    telemetry::metrics::Registry,
};
use health::Health;
use incoming::{Incoming, Limits, Protocol};
use metrics::ServerMetrics;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tls::Tls;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The service's name in health checks. `""` stands for the process.
pub const SERVICE_NAME: &str = crate::proto::GET_LIVENESS_RESULT.service;

/// Beyond that HTTP/2 itself refuses headers, with a status that gRPC has no code for; so it is
/// above what the service refuses.
const MAX_HTTP2_HEADER_BYTES: u32 = 32 * 1024;

/// How many bytes a client may send on a stream before they are taken. A connection keeps hyper's 1
/// MiB: h2 also derives from it how many small DATA frames may wait, and with less it would close
/// connections on which many calls begin at once.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// Calls at once on a connection; a client library opens another connection or waits. Ten of them
/// fill the server's default.
const MAX_STREAMS: u32 = 2_000;

/// A connection that is silent for so long is asked whether its other end is there, and closed when
/// no answer comes: a balancer or a firewall may have forgotten it. Balancers do so after a minute
/// at the earliest, as a rule.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(45);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection that is asked to end may take beyond the longest wait: the deadline of a
/// call without one, and the time in which an answer has to be taken. Then it is cut off: a caller
/// who neither sends its request to the end nor takes its answer would stay for ever. tonic has a
/// setting for it, which leaves the asking out.
const AGE_GRACE: Duration = Duration::from_secs(90);

/// What is left of the drain timeout when reads of AWS that hang are given up: enough for those who
/// wait for them to be told so, and to ask another replica.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Probes and scrapes are few. HTTP/1 takes up to 400 KiB of headers on each.
const MAX_ADMIN_CONNECTIONS: usize = 50;

/// How long until the credential chain is asked again: a sidecar or an agent may not be up yet when
/// this service starts.
const CREDENTIALS_RETRY: Duration = Duration::from_secs(2);

/// The service on sockets that are bound already, so that their addresses are known before it
/// serves.
pub struct Server {
    pub listener: TcpListener,
    pub admin: TcpListener,
    /// Plaintext without it.
    pub tls: Option<Tls>,
    pub session_refs: SessionRefKey,
    /// What is shared with other replicas, and where; nothing without it.
    pub shared_cache: Option<(store::Settings, SharedCacheSettings)>,
    pub config: config::Server,
    pub rekognition: Rekognition,
}

/// How long requests in flight took to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// All ended.
    Drained,
    /// Some were cut off after the drain timeout.
    CutOff,
}

impl Server {
    /// Serves until `stop`; then turns unready, takes requests for the drain delay still, and lets
    /// what is in flight end, for the drain timeout at most.
    ///
    /// # Errors
    /// When a socket fails.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<Stopped, tonic::transport::Error> {
        let Self { listener, admin, tls, session_refs, shared_cache, config, rekognition } = self;
        let registry = Registry::default();
        let metrics = Arc::new(ServerMetrics::new(&registry));
        let store_metrics = StoreMetrics::new(&registry);
        let session_refs = Arc::new(session_refs);
        let settings = config.service.results(rekognition.default_quota());
        let shared_cache = shared_cache.map(|(store, settings)| (Store::new(store, store_metrics), settings));
        let results = Results::new(rekognition.clone(), settings, shared_cache, &registry, Arc::clone(&session_refs));
        let rpc = config.rpc(rekognition.region());
        let clients = rpc.clients.clone();
        let admission = Admission::grpc(config.max_requests as usize, config.max_connections as usize);
        let refs = Arc::clone(&session_refs);
        let recorder = Recorder::new(ResponseMetrics::new(&registry), rpc.access_log, refs, rpc.region.clone());
        let service = Service::server(results.clone(), rpc, session_refs, recorder.clone());
        let (health, health_service, admin_health) = Health::new().await;

        let calls = Arc::new(CallMetrics::new(&registry));
        let age = jittered(config.max_connection_age);
        let limits = Limits {
            max_connections: config.max_connections as usize,
            max_lifetime: age.map(|age| age + config.service.max_wait + AGE_GRACE),
            ..Limits::default()
        };
        let incoming = Incoming::new(listener, tls.clone(), Protocol::Http2, limits);
        let connections = incoming.connections();
        let scrape = {
            let (admission, results, metrics) = (admission.clone(), results.clone(), Arc::clone(&metrics));
            let (health, registry) = (health.clone(), Arc::new(Mutex::new(registry)));
            move || {
                let registry = registry.lock().expect("nothing panics under this lock");
                results.measure();
                metrics.ready.set(health.is_ready().into());
                metrics.requests_in_flight.set(admission.calls() as i64);
                metrics.set_connections(&connections);
                registry.text()
            }
        };

        // Of streams that have no end of their own.
        let ending = CancellationToken::new();
        let (v1, v1alpha) = config.service.reflection.then(reflection::services).unzip();
        let admit = |admission: Admission| {
            let (clients, recorder) = (clients.clone(), recorder.clone());
            move |inner| Admitted::new(inner, admission.clone(), clients.clone(), recorder.clone())
        };
        let count = {
            let ending = ending.clone();
            move |inner| Counted::new(inner, Arc::clone(&calls), ending.clone())
        };
        let mut builder = tonic::transport::Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_max_header_list_size(MAX_HTTP2_HEADER_BYTES)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT));
        if let Some(age) = age {
            builder = builder.max_connection_age(age);
        }
        let router = builder
            .layer(tower::layer::layer_fn(count))
            .layer(tower::layer::layer_fn(admit(admission.clone())))
            .add_service(service)
            .add_service(health_service)
            .add_optional_service(v1)
            .add_optional_service(v1alpha);

        let (stopping, draining) = (CancellationToken::new(), CancellationToken::new());
        let serve = router.serve_with_incoming_shutdown(incoming, async {
            stop.await;
            stopping.cancel();
            health.become_unready().await;
            tokio::time::sleep(config.drain_delay).await;
            draining.cancel();
            health.end().await;
            ending.cancel();
            results.stop();
        });
        let cut_off = async {
            draining.cancelled().await;
            let last_moment = (config.drain_timeout / 10).min(LAST_MOMENT);
            tokio::time::sleep(config.drain_timeout - last_moment).await;
            results.give_up();
            tokio::time::sleep(last_moment).await;
        };
        let max_lifetime = Some(2 * admin::MAX_CONNECTION_AGE);
        let admin_limits = Limits { max_connections: MAX_ADMIN_CONNECTIONS, max_lifetime, ..Limits::default() };
        let admit = admit(Admission::admin(MAX_ADMIN_CONNECTIONS));
        let admin = admin::services(health.clone(), admin_health, scrape, admit).serve_with_incoming(Incoming::new(
            admin,
            None,
            Protocol::Any,
            admin_limits,
        ));
        // Credentials that come during the drain must not make it ready again.
        let readiness = stopping.run_until_cancelled(become_ready(&rekognition, &results, &health));
        let upkeep = async { tokio::join!(readiness, results.run(), reload_certificates(tls.as_ref(), &metrics)) };
        tokio::select! {
            end = async {
                serve.await?;
                // All who could be answered are, and what is still read ends with this process.
                results.give_up();
                results.stopped().await;
                Ok(Stopped::Drained)
            } => end,
            () = cut_off => Ok(Stopped::CutOff),
            end = admin => end.map(|()| unreachable!("it serves until the process ends")),
            _ = upkeep => unreachable!("the cache is maintained for ever"),
        }
    }
}

/// Every replica has an age of its own for its connections, within a tenth (gRFC A9): those that
/// began together end apart.
fn jittered(age: Duration) -> Option<Duration> {
    (!age.is_zero()).then(|| age.mul_f64(0.9 + 0.2 * fastrand::f64()))
}

/// Ready once there are credentials, and for good: a later trouble with AWS is shared by all
/// replicas, and held results are answered without AWS.
async fn become_ready(rekognition: &Rekognition, results: &Results, health: &Health) {
    // Before that a result that only the store has would be asked of an AWS that has forgotten it.
    results.connected().await;
    let mut told = false;
    while let Err(error) = rekognition.check_credentials().await {
        let reason = Reason::UpstreamCredentials;
        match error {
            _ if told => {}
            NoCredentials::NoRegion => {
                tracing::error!("not ready, and never will be: set AWS_REGION, and start again");
            }
            NoCredentials::NotFound => tracing::warn!(%reason, "no AWS credentials yet: not ready until there are"),
            NoCredentials::Malformed { .. } => {
                tracing::warn!(%reason, "{error}: not ready until their source is corrected");
            }
        }
        told = true;
        tokio::time::sleep(CREDENTIALS_RETRY).await;
    }
    health.become_ready().await;
    tracing::info!("ready");
}

async fn reload_certificates(tls: Option<&Tls>, metrics: &ServerMetrics) {
    if let Some(tls) = tls {
        tls.reload_on_change(metrics).await;
    }
}

#[cfg(test)]
mod tests;
