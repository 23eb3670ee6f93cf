//! Proxies: for AWS, but never for the local sources of credentials, which get a secret token.

use crate::{
    commands::run,
    facade::eventually,
    program::{aws, program, serve, simulator},
};
use axum::{Json, Router, http::HeaderMap, routing::get};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::net::TcpListener;

/// Starts a proxy that rejects all requests. Returns its URL and the number of its connections.
async fn proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    let connections = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Relaxed);
        }
    });
    (url, connections)
}

/// Starts an agent, such as that of EKS Pod Identity. Returns the URL of its credentials.
async fn agent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("http://{}/v1/credentials", listener.local_addr().expect("a bound socket has an address"));
    let credentials = async |headers: HeaderMap| {
        assert_eq!(headers["authorization"], "token");
        Json(
            json!({"AccessKeyId": "any", "SecretAccessKey": "any", "Token": "any", "Expiration": "2099-01-01T00:00:00Z"}),
        )
    };
    let router = Router::new().route("/v1/credentials", get(credentials));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn a_token_for_a_credential_agent_does_not_go_to_the_proxy() {
    let ((proxy, connections), agent, (_simulator, endpoint)) = (proxy().await, agent().await, simulator().await);
    let settings = [
        ("AWS_ENDPOINT_URL_REKOGNITION", endpoint.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &agent),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token"),
        ("HTTP_PROXY", &proxy),
        ("NO_PROXY", "169.254.169.254"),
    ];
    let running = serve(&[], &settings);
    eventually("it is ready", async || running.log().contains(r#""message":"ready""#)).await;
    assert_eq!(connections.load(Relaxed), 0);
}

#[tokio::test]
async fn no_link_local_source_of_credentials_is_read_through_the_proxy() {
    let checks = [
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")][..],
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[fd00:ec2::23]/v1/credentials")],
        &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials")],
        &[("AWS_EC2_METADATA_DISABLED", "false")],
        &[("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6")],
    ];
    let checks = checks.map(|settings| async move {
        let (proxy, connections) = proxy().await;
        let common =
            [("AWS_REGION", "us-east-1"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token"), ("HTTP_PROXY", &*proxy)];
        let mut command = program(&["check"]);
        command.envs(common).envs(settings.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
        output.expect("the program runs");
        assert_eq!(connections.load(Relaxed), 0, "{settings:?}");
    });
    futures_util::future::join_all(checks).await;
}

#[tokio::test]
async fn reads_go_through_the_proxy() {
    let (simulator, proxy) = simulator().await;
    // Only the proxy can reach this name.
    let settings = [&aws("http://rekognition.invalid")[..], &[("HTTP_PROXY", proxy.as_str())]].concat();
    let output = run(&["check"], &settings).await;
    assert_eq!((output.code, simulator.reads()), (Some(0), 1), "{output:?}");
}
