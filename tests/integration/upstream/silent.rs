//! Connections that go silent while new ones work: a NAT forgot them, or a load balancer died.

use super::{
    network::Network,
    tls::{TlsAws, url},
};
use crate::{
    facade::{id, request},
    program::{aws, serve, simulator_with},
};
use face_liveness_facade::{
    proto::face_liveness_service_client::FaceLivenessServiceClient,
    simulator::{self, Pace, Session, Simulator, Status},
};
use futures_util::future::join_all;
use std::time::Duration;
use tonic::transport::Channel;

/// Long enough for a connection on a busy machine.
const TIMEOUT: [&str; 2] = ["--upstream-timeout", "2s"];

fn place(simulator: &Simulator) {
    for number in 1..=12 {
        simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(number)) });
    }
}

async fn get(client: &FaceLivenessServiceClient<Channel>, number: u32) {
    let response = client.clone().get_liveness_result(request(&id(number))).await;
    response.unwrap_or_else(|status| panic!("session {number}: {status}"));
}

/// Reads six sessions in turn, on a network that has just gone silent. Asserts that only the first
/// read is lost, and that all use one new connection.
async fn assert_one_lost_attempt(network: &Network, client: &FaceLivenessServiceClient<Channel>) {
    let before = network.connections();
    network.silence();
    for number in 2..=7 {
        get(client, number).await;
    }
    assert_eq!(network.connections() - before, 1);
}

#[tokio::test]
async fn a_silent_http2_connection_costs_one_attempt() {
    let server = TlsAws::start().await;
    place(&server.simulator);
    let network = Network::to(server.address).await;
    let (endpoint, ca) = (url(network.address), server.ca());
    let running = serve(&TIMEOUT, &[&aws(&endpoint)[..], &[("SSL_CERT_FILE", ca.as_str())]].concat());
    let client = running.client().await;
    get(&client, 1).await;
    assert_one_lost_attempt(&network, &client).await;
}

#[tokio::test]
async fn a_silent_http1_connection_costs_one_attempt() {
    let (simulator, endpoint) = simulator_with(simulator::Config::default()).await;
    place(&simulator);
    let network = Network::to(endpoint.trim_start_matches("http://").parse().expect("an address")).await;
    let endpoint = format!("http://{}", network.address);
    let running = serve(&TIMEOUT, &aws(&endpoint));
    let client = running.client().await;
    get(&client, 1).await;
    assert_one_lost_attempt(&network, &client).await;
}

#[tokio::test]
async fn many_silent_idle_http1_connections_cost_one_attempt() {
    // So slow that concurrent reads need connections of their own.
    let config = simulator::Config { latency: Duration::from_millis(300), ..simulator::Config::default() };
    let (simulator, endpoint) = simulator_with(config).await;
    place(&simulator);
    let network = Network::to(endpoint.trim_start_matches("http://").parse().expect("an address")).await;
    let endpoint = format!("http://{}", network.address);
    let running = serve(&TIMEOUT, &aws(&endpoint));
    let client = running.client().await;
    join_all((8..=12).chain([1]).map(|number| get(&client, number))).await;
    assert!(network.connections() > 3, "{}", network.connections());
    assert_one_lost_attempt(&network, &client).await;
}

#[tokio::test]
async fn a_connection_that_goes_silent_inside_a_body_costs_one_attempt() {
    for http2 in [false, true] {
        let server = TlsAws::start().await;
        let (plain, endpoint) = simulator_with(simulator::Config::default()).await;
        place(if http2 { &server.simulator } else { &plain });
        let plain = endpoint.trim_start_matches("http://").parse().expect("an address");
        // After the handshakes, and before the end of the first body.
        let network = Network::cutting_off(if http2 { server.address } else { plain }, 6_000).await;
        let endpoint = if http2 { url(network.address) } else { format!("http://{}", network.address) };
        let ca = server.ca();
        let running = serve(&TIMEOUT, &[&aws(&endpoint)[..], &[("SSL_CERT_FILE", ca.as_str())]].concat());
        let client = running.client().await;
        for number in 1..=6 {
            get(&client, number).await;
        }
        assert_eq!(network.connections(), 2, "HTTP/2: {http2}");
    }
}
