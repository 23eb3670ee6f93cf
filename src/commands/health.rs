//! Checks the health of a running server, for images without a shell.

use crate::config;
use std::{error::Error, iter::successors, time::Duration};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

pub async fn run(config: config::Health) -> Result<(), String> {
    let config::Health { address, admin_listen, service, timeout } = config;
    let address = address.unwrap_or_else(|| format!("127.0.0.1:{}", admin_listen.port()));
    let status = status("--address", &address, &service, timeout).await?;
    println!("{}", status.as_str_name());
    match status {
        ServingStatus::Serving => Ok(()),
        _ => Err(format!("{} is not serving", if service.is_empty() { "the process" } else { &service })),
    }
}

/// Returns the health of a service at a plaintext gRPC port, the value of `flag`.
pub async fn status(flag: &str, address: &str, service: &str, timeout: Duration) -> Result<ServingStatus, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| format!("{flag} cannot be {address:?}: it must be a host and a port, such as 127.0.0.1:9090"))?;
    let check = async {
        let channel = endpoint.connect().await.map_err(|error| {
            // tonic's own text is "transport error".
            let cause = successors(Some(&error as &dyn Error), |&error| error.source()).last().expect("the first one");
            format!(
                "cannot connect to {address}: {cause}. If it is a Service of Kubernetes, no pod is ready; otherwise no \
                 server listens there"
            )
        })?;
        let response = HealthClient::new(channel).check(HealthCheckRequest { service: service.to_owned() }).await;
        response.map_err(|status| {
            format!("{address} has no health of {service:?}: {}. Is it a plaintext gRPC port?", status.message())
        })
    };
    let response = tokio::time::timeout(timeout, check).await;
    Ok(response.map_err(|_| format!("{address} did not respond within {timeout:?}"))??.into_inner().status())
}
