//! The wiring: a bound socket, the services on it, their health, and the way to stop.

pub mod incoming;
pub mod tls;

use crate::{
    config,
    proto::{self, face_liveness_service_server::FaceLivenessServiceServer},
    rekognition::Rekognition,
    results::Results,
    service::Service,
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_reflection::server::{v1, v1alpha};

/// The service's name in health checks. `""` stands for the process.
pub const SERVICE_NAME: &str = "faceliveness.v1.FaceLivenessService";

/// A request has an id and three small fields.
const MAX_REQUEST_BYTES: usize = 4 * 1024;

/// How long until the credential chain is asked again: a sidecar or an agent may not be up yet when this service starts.
const CREDENTIALS_RETRY: Duration = Duration::from_secs(2);

/// The service on a socket that is bound already, so that its address is known before it serves.
pub struct Server {
    listener: TcpListener,
    service: config::Service,
    rekognition: Rekognition,
    drain_timeout: Duration,
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
    pub fn new(
        listener: TcpListener,
        service: config::Service,
        rekognition: Rekognition,
        drain_timeout: Duration,
    ) -> Self {
        Self { listener, service, rekognition, drain_timeout }
    }

    /// Serves until `stop`, then lets what is in flight end, for the drain timeout at most.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<Stopped, tonic::transport::Error> {
        let results = Results::new(self.rekognition.clone(), self.service.results(self.rekognition.default_quota()));
        let region = self.rekognition.region().map(str::to_owned);
        let service = FaceLivenessServiceServer::new(Service::new(results.clone(), self.service.rpc(), region))
            .max_decoding_message_size(MAX_REQUEST_BYTES);
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status("", ServingStatus::Serving).await;
        health.set_service_status(SERVICE_NAME, ServingStatus::NotServing).await;
        let (v1, v1alpha) = self.service.reflection.then(reflection).unzip();
        let router = tonic::transport::Server::builder()
            .add_service(service)
            .add_service(health_service)
            .add_optional_service(v1)
            .add_optional_service(v1alpha);

        let stopping = CancellationToken::new();
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let serve = router.serve_with_incoming_shutdown(incoming, async {
            stop.await;
            stopping.cancel();
            end_health(&health).await;
            results.stop();
        });
        let cut_off = async {
            stopping.cancelled().await;
            tokio::time::sleep(self.drain_timeout).await;
        };
        // Credentials that come during the drain must not make it ready again.
        let readiness = stopping.run_until_cancelled(become_ready(&self.rekognition, &health));
        let upkeep = async { tokio::join!(readiness, results.run()) };
        tokio::select! {
            end = async { serve.await?; results.stopped().await; Ok(Stopped::Drained) } => end,
            () = cut_off => Ok(Stopped::CutOff),
            _ = upkeep => unreachable!("the cache is maintained for ever"),
        }
    }
}

/// Binds `address`; where the machine has no IPv6, the unspecified address means IPv4's.
///
/// # Errors
/// One sentence for an operator.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let bound = match TcpListener::bind(address).await {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{address} is in use by another process: stop that one, or choose another address with --listen")
        }
        _ => format!("cannot listen on {address}: {error}"),
    })
}

/// Ready once there are credentials, and for good: a later trouble with AWS is shared by all replicas, and held results are
/// answered without AWS.
async fn become_ready(rekognition: &Rekognition, health: &HealthReporter) {
    let mut told = false;
    while let Err(error) = rekognition.check_credentials().await {
        if !told {
            tracing::warn!(reason = %error.reason, "no AWS credentials or region yet: not ready until there are");
            told = true;
        }
        tokio::time::sleep(CREDENTIALS_RETRY).await;
    }
    health.set_service_status(SERVICE_NAME, ServingStatus::Serving).await;
    tracing::info!("ready");
}

/// Not ready any more. Clearing a name ends its watches, which would hold the stop up for ever.
async fn end_health(health: &HealthReporter) {
    let mut health = health.clone();
    for name in ["", SERVICE_NAME] {
        health.set_service_status(name, ServingStatus::NotServing).await;
        health.clear_service_status(name).await;
    }
}

/// Reflection in both versions, since older tools speak v1alpha only. It knows google.rpc, so that they print error details.
fn reflection() -> (
    v1::ServerReflectionServer<impl v1::ServerReflection>,
    v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>,
) {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let sound = "the descriptors were compiled with this program";
    (builder().build_v1().expect(sound), builder().build_v1alpha().expect(sound))
}
