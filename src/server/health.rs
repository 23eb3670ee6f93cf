//! The health of the process and of the service: gRPC health on both ports, and `/readyz`.
//!
//! Each port has a reporter of its own: the watches of the gRPC port must end before it can close,
//! and the admin port serves until the process ends.

use super::SERVICE_NAME;
use crate::grpc::MAX_REQUEST_BYTES;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::sync::watch;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

/// The name of the process in gRPC health.
const PROCESS: &str = "";

/// Whether the process runs, and whether the service is ready. Clones share the state.
#[derive(Clone)]
pub struct Health {
    grpc: HealthReporter,
    admin: HealthReporter,
    is_ready: Arc<AtomicBool>,
}

impl Health {
    /// The process is SERVING, and the service is not yet. Returns the health services of the gRPC
    /// port and of the admin port, too.
    pub async fn new() -> (Self, HealthServer<HealthService>, HealthServer<HealthService>) {
        let (grpc, grpc_service) = reporter().await;
        let (admin, admin_service) = reporter().await;
        (Self { grpc, admin, is_ready: Arc::default() }, grpc_service, admin_service)
    }

    /// Sets the service to SERVING or NOT_SERVING. Load balancers send it no calls while it is
    /// NOT_SERVING. The process stays SERVING.
    pub async fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Relaxed);
        let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for reporter in [&self.grpc, &self.admin] {
            reporter.set_service_status(SERVICE_NAME, status).await;
        }
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

    /// Ends the watches of the gRPC port. Otherwise it would never close.
    pub async fn end_watches(&self) {
        let mut grpc = self.grpc.clone();
        grpc.set_service_status(PROCESS, ServingStatus::NotServing).await;
        for name in [PROCESS, SERVICE_NAME] {
            grpc.clear_service_status(name).await;
        }
    }
}

async fn reporter() -> (HealthReporter, HealthServer<HealthService>) {
    let reporter = HealthReporter::new();
    reporter.set_service_status(PROCESS, ServingStatus::Serving).await;
    reporter.set_service_status(SERVICE_NAME, ServingStatus::NotServing).await;
    let service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
    (reporter, service.max_decoding_message_size(MAX_REQUEST_BYTES))
}
