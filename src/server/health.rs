//! The health of the process and of the service: gRPC health on both ports, and `/readyz`.
//!
//! When a shutdown begins, Check returns NOT_SERVING, so that load balancers stop sending calls.
//! The watches of the gRPC port keep their status, because gRPC clients with `healthCheckConfig`
//! open them: behind one address, such as a ClusterIP, NOT_SERVING would fail their calls until
//! GOAWAY.

use super::SERVICE_NAME;
use crate::grpc::MAX_REQUEST_BYTES;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::sync::watch;
use tonic::{Request, Response, Status, async_trait};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse,
        health_server::{Health as HealthRpc, HealthServer},
    },
    server::{HealthReporter, HealthService},
};

/// The name of the process in gRPC health.
const PROCESS: &str = "";

/// Whether the process runs, and whether the service is ready. Clones share the state.
#[derive(Clone)]
pub struct Health {
    /// What Check returns on both ports, and Watch on the admin port.
    checks: HealthReporter,
    /// What Watch returns on the gRPC port.
    watches: HealthReporter,
    is_ready: Arc<AtomicBool>,
}

impl Health {
    /// The process is SERVING, and the service is not yet. Returns the health services of the gRPC
    /// port and of the admin port, too.
    pub async fn new() -> (Self, HealthServer<GrpcHealth>, HealthServer<HealthService>) {
        let health = Self { checks: reporter().await, watches: reporter().await, is_ready: Arc::default() };
        let [checks, admin, watches] = [&health.checks, &health.checks, &health.watches]
            .map(|reporter| HealthService::from_health_reporter(reporter.clone()));
        let grpc = HealthServer::new(GrpcHealth { checks, watches });
        let admin = HealthServer::new(admin);
        let limit = MAX_REQUEST_BYTES;
        (health, grpc.max_decoding_message_size(limit), admin.max_decoding_message_size(limit))
    }

    /// Sets the service to SERVING or NOT_SERVING. Load balancers send it no calls while it is
    /// NOT_SERVING. The process stays SERVING.
    pub async fn set_ready(&self, is_ready: bool) {
        self.set_checks(is_ready).await;
        self.watches.set_service_status(SERVICE_NAME, status(is_ready)).await;
    }

    /// Sets the service to NOT_SERVING for all but the watches of the gRPC port.
    pub async fn begin_shutdown(&self) {
        self.set_checks(false).await;
    }

    async fn set_checks(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Relaxed);
        self.checks.set_service_status(SERVICE_NAME, status(is_ready)).await;
    }

    /// Sets the service's status to each value of `is_ready`, until its sender is dropped.
    pub async fn follow(&self, mut is_ready: watch::Receiver<bool>) {
        while is_ready.changed().await.is_ok() {
            let is_ready = *is_ready.borrow_and_update();
            self.set_ready(is_ready).await;
            if is_ready {
                tracing::info!("ready");
            }
        }
    }

    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Relaxed)
    }
}

const fn status(is_ready: bool) -> ServingStatus {
    if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing }
}

async fn reporter() -> HealthReporter {
    let reporter = HealthReporter::new();
    reporter.set_service_status(PROCESS, ServingStatus::Serving).await;
    reporter.set_service_status(SERVICE_NAME, ServingStatus::NotServing).await;
    reporter
}

/// The health of the gRPC port.
pub struct GrpcHealth {
    checks: HealthService,
    watches: HealthService,
}

#[async_trait]
impl HealthRpc for GrpcHealth {
    type WatchStream = <HealthService as HealthRpc>::WatchStream;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.checks.check(request).await
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.watches.watch(request).await
    }
}
