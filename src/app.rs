//! The wiring: turns the configuration into the modules of the service, and runs them.

mod options;
mod readiness;

use crate::{
    config,
    grpc::{Recorder, Service, metrics::ResponseMetrics},
    rekognition::Rekognition,
    results::{SessionReader, SharedCacheSettings},
    server::{Rpc, Server, Shutdown, Stopped, tls::Tls},
    session::SessionRefKey,
    store::{Store, StoreMetrics, StoreSettings},
    tasks::Tasks,
    telemetry::metrics::Registry,
};
use std::sync::Arc;
use tokio::{net::TcpListener, sync::watch};

/// A service that is configured and has bound its sockets.
pub struct App {
    pub listener: TcpListener,
    pub admin: TcpListener,
    /// The gRPC port is plaintext without it.
    pub tls: Option<Tls>,
    pub session_refs: SessionRefKey,
    /// The cache that replicas share, and the connection to it.
    pub shared_cache: Option<(StoreSettings, SharedCacheSettings)>,
    pub config: config::Server,
    pub rekognition: Rekognition,
}

impl App {
    /// Serves until `stop` completes, and then shuts down gracefully.
    ///
    /// # Errors
    /// One sentence for an operator: a long-lived task failed.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<Stopped, String> {
        let Self { listener, admin, tls, session_refs, shared_cache, config, rekognition } = self;
        let (registry, session_refs) = (Registry::default(), Arc::new(session_refs));
        let store_metrics = StoreMetrics::new(&registry);
        let shared_cache = shared_cache.map(|(store, settings)| (Store::new(store, store_metrics), settings));
        let settings = config.service.results(rekognition.default_quota());
        let results =
            SessionReader::new(rekognition.clone(), settings, shared_cache, &registry, Arc::clone(&session_refs));
        let settings = config.rpc(rekognition.region());
        let (clients, region) = (settings.clients.clone(), settings.region.clone());
        let responses = ResponseMetrics::new(&registry);
        let recorder = Recorder::new(responses, settings.access_log, Arc::clone(&session_refs), region);
        let service = Service::server(results.clone(), settings, session_refs, recorder.clone());

        let mut tasks = Tasks::default();
        results.spawn_tasks(&mut tasks);
        let (ready, is_ready) = watch::channel(false);
        tasks.spawn("credentials", readiness::follow_credentials(rekognition, results.clone(), ready));
        let measured = results.clone();
        let measure = Box::new(move || measured.measure());
        let shutdown = Shutdown::default();
        let drained = async {
            shutdown.draining.cancelled().await;
            results.stop();
            shutdown.aborting.cancelled().await;
            results.give_up();
            results.stopped().await;
        };
        let rpc = Rpc { service, clients, recorder, registry, measure };
        let server = Server { listener, admin_listener: admin, tls, options: config.options() };
        server.run(rpc, tasks, shutdown.clone(), is_ready, drained, stop).await
    }
}
