//! The admin port: probes and metrics.

use crate::{
    facade::{Facade, eventually, id, request},
    program,
};
use face_liveness_facade::{
    proto::{self, ResultView},
    server::SERVICE_NAME,
    simulator::{Fault, FaultKind, Pace, Session, Status},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, ToSocketAddrs},
};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// Sends an HTTP/1 GET request. Returns the status and body of the response.
pub async fn get(address: impl ToSocketAddrs, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("the admin port listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the admin port reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("a response in UTF-8");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
    (head[9..12].parse().expect("a status"), body.to_owned())
}

async fn metrics(facade: &Facade) -> String {
    get(facade.admin_address, "/metrics").await.1
}

/// Returns the value of a series; `series` is its name and labels as exported.
pub fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is not in\n{metrics}")).parse().expect("a number")
}

fn succeeded(number: u32) -> Session {
    Session { pace: Pace::Frozen(Status::Succeeded), audit_images: 1, ..Session::new(id(number)) }
}

#[tokio::test]
async fn livez_is_200_and_readyz_depends_on_credentials() {
    let ready = Facade::start(&[]).await;
    eventually("it is ready", async || get(ready.admin_address, "/readyz").await.0 == 200).await;
    assert_eq!(get(ready.admin_address, "/livez").await.0, 200);
    assert!(get(ready.admin_address, "/").await.1.contains("/metrics"));
    assert_eq!(get(ready.admin_address, "/elsewhere").await.0, 404);

    let without_credentials = program::serve(&[], &[("AWS_REGION", "us-east-1")]);
    assert_eq!(get(&without_credentials.admin_address, "/livez").await.0, 200);
    assert_eq!(get(&without_credentials.admin_address, "/readyz").await.0, 503);
    let (_, metrics) = get(&without_credentials.admin_address, "/metrics").await;
    assert_eq!(value(&metrics, "face_liveness_ready"), 0.0);
}

#[tokio::test]
async fn the_admin_port_serves_grpc_health_checks() {
    let facade = Facade::start(&[]).await;
    let endpoint = Channel::from_shared(format!("http://{}", facade.admin_address)).expect("an address is a URI");
    let health = HealthClient::new(endpoint.connect().await.expect("it listens"));
    for service in ["", SERVICE_NAME] {
        let status = async || {
            let response = health.clone().check(HealthCheckRequest { service: service.to_owned() }).await;
            response.expect("the service is registered").into_inner().status()
        };
        eventually("it is serving", async || status().await == ServingStatus::Serving).await;
    }
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code() {
    let facade = Facade::start(&["--not-found-ttl", "0s"]).await;
    facade.place(succeeded(1));
    facade.get(&id(1)).await.expect("a response");
    facade.get(&id(1)).await.expect("a response");
    facade.get(&id(2)).await.expect_err("not found");
    facade.get("no id").await.expect_err("malformed");
    HealthClient::new(facade.channel().await).check(HealthCheckRequest::default()).await.expect("a status");

    let metrics = metrics(&facade).await;
    let method =
        r#"grpc_method="GetLivenessResult",grpc_service="faceliveness.v1.FaceLivenessService",grpc_type="unary""#;
    let total = |name: &str| value(&metrics, &format!("{name}{{{method}}}"));
    let handled = |code: &str| value(&metrics, &format!(r#"grpc_server_handled_total{{grpc_code="{code}",{method}}}"#));
    assert_eq!((total("grpc_server_started_total"), total("grpc_server_handling_seconds_count")), (4.0, 4.0));
    assert_eq!(
        [handled("OK"), handled("NotFound"), handled("InvalidArgument"), handled("Internal")],
        [2.0, 1.0, 1.0, 0.0]
    );
    let health = r#"grpc_server_handled_total{grpc_code="OK",grpc_method="Check",grpc_service="grpc.health.v1.Health",grpc_type="unary"}"#;
    assert_eq!(value(&metrics, health), 1.0);
}

#[tokio::test]
async fn a_call_whose_caller_hangs_up_is_counted_as_canceled() {
    let facade = Facade::start(&[]).await;
    facade.fault(FaultKind::Hang);
    let mut client = facade.client().await;
    let call = tokio::spawn(async move { client.get_liveness_result(request(&id(1))).await });
    eventually("the read has started", async || facade.simulator.reads() == 1).await;
    assert_eq!(value(&metrics(&facade).await, "face_liveness_requests_in_flight"), 1.0);
    call.abort();
    let cancelled = r#"grpc_server_handled_total{grpc_code="Canceled",grpc_method="GetLivenessResult",grpc_service="faceliveness.v1.FaceLivenessService",grpc_type="unary"}"#;
    eventually("the event is counted", async || value(&metrics(&facade).await, cancelled) == 1.0).await;
    assert_eq!(value(&metrics(&facade).await, "face_liveness_requests_in_flight"), 0.0);
}

#[tokio::test]
async fn results_reads_and_errors_are_counted_by_source_outcome_and_reason() {
    let facade = Facade::start(&["--not-found-ttl", "0s"]).await;
    facade.place(succeeded(1));
    facade.get(&id(1)).await.expect("a response");
    facade.get(&id(1)).await.expect("a response");
    facade.get(&id(2)).await.expect_err("not found");
    facade.simulator.script(Fault::new(FaultKind::Error {
        code: "AccessDeniedException".into(),
        status: 400,
        message: None,
    }));
    facade.get(&id(3)).await.expect_err("denied");

    let metrics = metrics(&facade).await;
    for (series, expected) in [
        (r#"face_liveness_results_total{source="upstream",status="succeeded"}"#, 1.0),
        (r#"face_liveness_results_total{source="cache",status="succeeded"}"#, 1.0),
        (r#"face_liveness_results_total{source="cache",status="failed"}"#, 0.0),
        (r#"face_liveness_errors_total{reason="SESSION_NOT_FOUND"}"#, 1.0),
        (r#"face_liveness_errors_total{reason="UPSTREAM_ACCESS_DENIED"}"#, 1.0),
        (r#"face_liveness_upstream_reads_total{outcome="OK"}"#, 1.0),
        (r#"face_liveness_upstream_reads_total{outcome="SESSION_NOT_FOUND"}"#, 1.0),
        (r#"face_liveness_upstream_reads_total{outcome="UPSTREAM_ACCESS_DENIED"}"#, 1.0),
        ("face_liveness_upstream_read_seconds_count", 3.0),
        ("face_liveness_limiter_wait_seconds_count", 3.0),
        ("face_liveness_limiter_rate", 25.0),
        (r#"face_liveness_limiter_queue{need="first_read"}"#, 0.0),
        ("face_liveness_polls", 0.0),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}");
    }
}

#[tokio::test]
async fn cache_metrics_report_entries_bytes_and_evictions() {
    let facade = Facade::start(&["--image-cache-size", "100KiB"]).await;
    for number in 1..=4 {
        facade.place(succeeded(number));
        let view = ResultView::Full.into();
        let response = facade.call(proto::GetLivenessResultRequest { view, ..request(&id(number)) }).await;
        response.expect("a response");
    }
    let is_reported = async || {
        let metrics = metrics(&facade).await;
        value(&metrics, r#"face_liveness_cache_entries{cache="results"}"#) == 4.0
            && value(&metrics, r#"face_liveness_cache_evictions_total{cache="images"}"#) >= 3.0
            && value(&metrics, r#"face_liveness_cache_bytes{cache="images"}"#) <= 100.0 * 1024.0
    };
    eventually("the caches have been maintained", is_reported).await;
}

#[tokio::test]
async fn callers_who_share_a_poll_are_counted() {
    let facade = Facade::start(&[]).await;
    facade.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(1)) });
    let wait = Some(Duration::from_secs(30).try_into().expect("a short wait"));
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let (address, request) = (facade.address, proto::GetLivenessResultRequest { wait, ..request(&id(1)) });
            tokio::spawn(async move {
                let client = proto::face_liveness_service_client::FaceLivenessServiceClient::connect(format!(
                    "http://{address}"
                ));
                client.await.expect("it listens").get_liveness_result(request).await
            })
        })
        .collect();
    eventually("all share one poll", async || {
        let metrics = metrics(&facade).await;
        value(&metrics, "face_liveness_polls") == 1.0 && value(&metrics, "face_liveness_polls_shared_total") == 2.0
    })
    .await;
    calls.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn build_and_process_metrics_are_exported() {
    let facade = Facade::start(&[]).await;
    let metrics = metrics(&facade).await;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(value(&metrics, &format!(r#"face_liveness_build_info{{version="{version}"}}"#)), 1.0);
    assert!(value(&metrics, "process_resident_memory_bytes") > 0.0);
}
