//! The ports of the service: listeners, TLS, connection limits, health, reflection, and the
//! graceful shutdown.
//!
//! Sessions and AWS are not known here.

mod admin;
mod health;
mod http2;
pub mod incoming;
mod metrics;
mod open_files;
mod reflection;
mod scrapes;
mod shutdown;
mod socket;
pub mod tls;

pub use crate::proto::face_liveness_service_server::SERVICE_NAME;
pub use open_files::{MAX_ADMIN_CONNECTIONS, max_connections, open_files};
pub use shutdown::{Shutdown, Stopped};
pub use socket::{address, bind};

use crate::{
    client::{Clients, ShareLimits, Shares},
    grpc::{
        Recorder, Service,
        admission::{Admission, Admitted},
        calls::Counted,
        image_budget,
        metrics::CallMetrics,
    },
    proto::face_liveness_service_server::FaceLivenessServiceServer,
    tasks::Tasks,
    telemetry::metrics::Registry,
};
use health::Health;
use incoming::{Incoming, Limits, Protocol};
use metrics::ServerMetrics;
use std::{future::pending, pin::pin, sync::Arc, time::Duration};
use tls::Tls;
use tokio::{net::TcpListener, sync::watch};
use tower::layer::layer_fn;

/// How long a connection at its maximum age may stay open beyond the longest wait: the deadline of
/// a call without one, and time to read the response. Then it is closed, since a client that
/// neither completes its request nor reads the response would keep it open. tonic's own grace
/// period skips GOAWAY.
const AGE_GRACE: Duration = Duration::from_secs(90);

/// The ports, on sockets that are bound already, so that their addresses are known before they
/// serve.
pub struct Server {
    pub listener: TcpListener,
    pub admin_listener: TcpListener,
    /// The gRPC port is plaintext without it.
    pub tls: Option<Tls>,
    pub options: Options,
}

/// The limits and times of the ports.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Requests in flight.
    pub max_requests: usize,
    pub max_connections: usize,
    /// The age at which a connection is drained, ±10 %; zero: never.
    pub max_connection_age: Duration,
    /// The longest wait of a request.
    pub max_wait: Duration,
    pub reflection: bool,
    /// How long requests are accepted after the service turned NOT_SERVING.
    pub drain_delay: Duration,
    /// How long requests in flight may take after the drain delay.
    pub drain_timeout: Duration,
}

/// The RPC, and what authorizes, records and measures its calls.
pub struct Rpc {
    pub service: FaceLivenessServiceServer<Service>,
    pub clients: Clients,
    pub recorder: Recorder,
    pub registry: Registry,
    /// Sets the gauges in the registry.
    pub measure: Box<dyn Fn() + Send + Sync>,
}

impl Server {
    /// Serves until `stop` completes, and then shuts down gracefully. The service is ready while
    /// `is_ready` is true. `drained` follows the phases of `shutdown`, and completes when the work
    /// behind the RPC has ended.
    ///
    /// # Errors
    /// A task ended or panicked, of `tasks` or of a port.
    pub async fn run(
        self,
        rpc: Rpc,
        mut tasks: Tasks,
        shutdown: Shutdown,
        is_ready: watch::Receiver<bool>,
        drained: impl Future<Output = ()>,
        stop: impl Future<Output = ()>,
    ) -> Result<Stopped, String> {
        let Self { listener, admin_listener, tls, options } = self;
        let Rpc { service, clients, recorder, registry, measure } = rpc;
        let limits = ShareLimits { requests: options.max_requests, image_budget: image_budget::PERMITS };
        let shares = Shares::new(limits, &clients.allowed, &registry);
        let clients = Arc::new(clients);
        let metrics = Arc::new(ServerMetrics::new(&registry));
        let calls = Arc::new(CallMetrics::new(&registry));
        let (health, grpc_health, admin_health) = Health::new().await;
        let admission = Admission::grpc(options.max_requests, options.max_connections, shutdown.closing.clone());
        let admit = |admission: Admission| {
            let (clients, shares, recorder) = (Arc::clone(&clients), Arc::clone(&shares), recorder.clone());
            layer_fn(move |inner| {
                Admitted::new(inner, admission.clone(), Arc::clone(&clients), Arc::clone(&shares), recorder.clone())
            })
        };

        let max_age = jittered(options.max_connection_age);
        let limits = Limits {
            max_connections: options.max_connections,
            max_lifetime: max_age.map(|age| age + options.max_wait + AGE_GRACE),
            ..Limits::default()
        };
        let incoming = Incoming::new(listener, tls.clone(), Protocol::Http2, limits, Arc::clone(&shares));
        let connections = incoming.connections();
        let ending_streams = Arc::new(shutdown.ending_streams.clone());
        let count = layer_fn(move |inner| Counted::new(inner, Arc::clone(&calls), Arc::clone(&ending_streams)));
        let (v1, v1alpha) = options.reflection.then(reflection::services).unzip();
        let grpc_port = http2::grpc_port(max_age)
            .layer(count)
            .layer(admit(admission.clone()))
            .add_service(service)
            .add_service(grpc_health)
            .add_optional_service(v1)
            .add_optional_service(v1alpha)
            .serve_with_incoming_shutdown(incoming, shutdown.closing.clone().cancelled_owned());
        let Shutdown { closing, closed, .. } = shutdown.clone();
        tasks.spawn("gRPC port", async move {
            grpc_port.await.expect("the stream of connections yields no error");
            assert!(closing.is_cancelled(), "the stream of connections does not end");
            closed.cancel();
            pending().await
        });

        let (scrapes, render_metrics) = scrapes::scrapes({
            let (health, metrics, admission) = (health.clone(), Arc::clone(&metrics), admission.clone());
            move || {
                measure();
                metrics.ready.set(health.is_ready().into());
                metrics.requests_in_flight.set(admission.calls() as i64);
                metrics.set_connections(&connections);
                registry.text()
            }
        });
        tasks.spawn("metrics", render_metrics);
        let max_lifetime = Some(2 * http2::ADMIN_CONNECTION_AGE);
        let max_connections = MAX_ADMIN_CONNECTIONS;
        let limits = Limits { max_connections, max_lifetime, evicts_oldest: true, ..Limits::default() };
        let incoming = Incoming::new(admin_listener, None, Protocol::Any, limits, Arc::clone(&shares));
        // The eviction of connections frees their streams, so streams have no limit below theirs.
        let admit = admit(Admission::admin(limits.hard_limit() * http2::MAX_ADMIN_STREAMS as usize));
        let admin_port = admin::services(health.clone(), admin_health, scrapes, admit).serve_with_incoming(incoming);
        tasks.spawn("admin port", async move {
            admin_port.await.expect("the stream of connections yields no error");
        });
        if let Some(tls) = tls {
            tasks.spawn("certificate reload", async move { match tls.reload_on_change(&metrics).await {} });
        }

        let life = async {
            let mut stop = pin!(stop);
            tokio::select! {
                () = &mut stop => {}
                () = health.follow(is_ready) => stop.await,
            }
            shutdown.run(options.drain_delay, options.drain_timeout, &health, || admission.calls(), drained).await
        };
        tokio::select! {
            stopped = life => Ok(stopped),
            failure = tasks.failure() => Err(failure),
        }
    }
}

/// Returns this process's maximum age of connections, within a tenth of `age`, so that connections
/// that began together do not end together (gRFC A9). None if `age` is zero.
fn jittered(age: Duration) -> Option<Duration> {
    (!age.is_zero()).then(|| age.mul_f64(0.9 + 0.2 * fastrand::f64()))
}

#[cfg(test)]
mod tests;
