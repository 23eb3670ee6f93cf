//! The service, against AWS.

use super::stop_signal;
use crate::{
    config, rekognition,
    rekognition::Rekognition,
    server::{self, Server, Stopped},
    telemetry,
};

pub async fn run(config: config::Serve) -> Result<(), String> {
    let config::Serve { listen, service, drain_timeout, log } = config;
    let stop = stop_signal();
    let telemetry = telemetry::init(log.log_format, log.log_level);
    // First of all, so that a busy port is told before anything else happens.
    let listener = server::bind(listen).await?;
    // Without a region in the environment the chain asks IMDS, which takes its time where there is none.
    let rekognition = Rekognition::from_environment(service.upstream_timeout);
    let mut stop = std::pin::pin!(stop);
    let rekognition = tokio::select! {
        rekognition = rekognition => rekognition,
        () = &mut stop => return Ok(()),
    };
    warn_of_region(rekognition.region());
    let address = listener.local_addr().map_err(|error| format!("the socket has no address: {error}"))?;
    tracing::info!(%address, region = rekognition.region(), version = env!("CARGO_PKG_VERSION"), "listening");
    let end = Server::new(listener, service, rekognition, drain_timeout).run(stop).await;
    telemetry.shutdown().await;
    match end {
        Ok(Stopped::Drained) => tracing::info!("stopped"),
        Ok(Stopped::CutOff) => tracing::warn!("stopped; requests that outlasted the drain timeout were cut off"),
        Err(error) => return Err(format!("the server failed: {error}")),
    }
    Ok(())
}

/// AWS says of an unsupported region no more than AccessDenied, and of a wrong one that it knows no session.
fn warn_of_region(region: Option<&str>) {
    let regions = rekognition::FACE_LIVENESS_REGIONS.join(", ");
    match region {
        None => tracing::warn!("no AWS region is configured: set AWS_REGION to one that has Face Liveness ({regions})"),
        Some(region) if !rekognition::FACE_LIVENESS_REGIONS.contains(&region) => {
            tracing::warn!(
                "{region} has no Face Liveness as far as this version knows; these regions have it: {regions}"
            );
        }
        Some(_) => {}
    }
}
