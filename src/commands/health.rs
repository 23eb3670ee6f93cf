//! Checks the health of a running server, for images without a shell.

use crate::config;
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

pub async fn run(config: config::Health) -> Result<(), String> {
    let config::Health { address, admin_listen, service, timeout } = config;
    let address = address.unwrap_or_else(|| format!("127.0.0.1:{}", admin_listen.port()));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| {
        format!("--address cannot be {address:?}: it must be a host and a port, such as 127.0.0.1:9090")
    })?;
    let check = async {
        let channel = endpoint.connect().await.map_err(|_| {
            format!("cannot connect to {address}: is the server running, and is this a plaintext gRPC port?")
        })?;
        let response = HealthClient::new(channel).check(HealthCheckRequest { service: service.clone() }).await;
        response.map_err(|status| format!("{address} has no health of {service:?}: {}", status.message()))
    };
    let response = tokio::time::timeout(timeout, check).await;
    let status = response.map_err(|_| format!("{address} did not respond within {timeout:?}"))??.into_inner().status();
    println!("{}", status.as_str_name());
    match status {
        ServingStatus::Serving => Ok(()),
        _ => Err(format!("{} is not serving", if service.is_empty() { "the process" } else { &service })),
    }
}
