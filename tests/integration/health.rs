//! gRPC health, as meshes and load balancers use it.

use crate::facade::{Facade, reason};
use face_liveness_facade::server::{SERVICE_NAME, Stopped};
use std::time::Duration;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

fn health_request(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn check_and_watch_report_process_and_service_as_serving() {
    let facade = Facade::start(&[]).await;
    let mut health = HealthClient::new(facade.channel().await);
    for service in ["", SERVICE_NAME] {
        let mut watch = health.watch(health_request(service)).await.expect("a stream").into_inner();
        let mut status = ServingStatus::Unknown;
        while status != ServingStatus::Serving {
            status = watch.message().await.expect("no error").expect("another status").status();
        }
        let check = health.check(health_request(service)).await.expect("a status").into_inner();
        assert_eq!(check.status(), ServingStatus::Serving, "{service:?}");
    }
}

#[tokio::test]
async fn an_unknown_service_is_not_found() {
    let facade = Facade::start(&[]).await;
    let mut health = HealthClient::new(facade.channel().await);
    assert_eq!(health.check(health_request("other.Service")).await.expect_err("unknown").code(), Code::NotFound);
}

#[tokio::test]
async fn an_open_watch_ends_with_the_port_and_does_not_delay_shutdown() {
    let mut facade = Facade::start(&["--drain-timeout", "1h"]).await;
    let mut health = HealthClient::new(facade.channel().await);
    let mut watch = health.watch(health_request(SERVICE_NAME)).await.expect("a stream").into_inner();
    while watch.message().await.expect("no error").expect("a status").status() != ServingStatus::Serving {}
    let stopped = tokio::time::timeout(Duration::from_secs(10), facade.stop()).await;
    assert_eq!(stopped.expect("it shuts down at once"), Stopped::Drained);
    assert_eq!(reason(&watch.message().await.expect_err("no status before the end")), "SHUTTING_DOWN");
}
