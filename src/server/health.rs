//! Health, as the gRPC ports and `/readyz` tell it.
//!
//! Each port has states of its own: the gRPC port's watches must end before it can stop, while the
//! admin port answers to the very end.

use super::SERVICE_NAME;
use crate::grpc::MAX_REQUEST_BYTES;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

/// The name that stands for the process.
const PROCESS: &str = "";

/// Whether the process is there, and whether the service is ready. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    grpc: HealthReporter,
    admin: HealthReporter,
    is_ready: Arc<AtomicBool>,
}

impl Health {
    /// The process is SERVING, the service not yet. Answers the services of the gRPC port and of
    /// the admin port, too.
    pub async fn new() -> (Self, HealthServer<HealthService>, HealthServer<HealthService>) {
        let (grpc, grpc_service) = port().await;
        let (admin, admin_service) = port().await;
        (Self { grpc, admin, is_ready: Arc::default() }, grpc_service, admin_service)
    }

    pub async fn become_ready(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// Whoever routes by readiness takes its calls elsewhere from now on. The process is still
    /// there.
    pub async fn become_unready(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Relaxed)
    }

    /// Ends the gRPC port's watches, which would hold its stop up for ever.
    pub async fn end(&self) {
        let mut grpc = self.grpc.clone();
        grpc.set_service_status(PROCESS, ServingStatus::NotServing).await;
        for name in [PROCESS, SERVICE_NAME] {
            grpc.clear_service_status(name).await;
        }
    }

    async fn set(&self, status: ServingStatus) {
        self.is_ready.store(status == ServingStatus::Serving, Relaxed);
        for port in [&self.grpc, &self.admin] {
            port.set_service_status(SERVICE_NAME, status).await;
        }
    }
}

async fn port() -> (HealthReporter, HealthServer<HealthService>) {
    let reporter = HealthReporter::new();
    reporter.set_service_status(PROCESS, ServingStatus::Serving).await;
    reporter.set_service_status(SERVICE_NAME, ServingStatus::NotServing).await;
    let service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
    (reporter, service.max_decoding_message_size(MAX_REQUEST_BYTES))
}
