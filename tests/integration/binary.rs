//! The program itself: its exit codes, and AWS's standard chain of settings.

use crate::{
    facade::{eventually, id, request},
    program::{program, serve, simulator},
};
use face_liveness_facade::{
    proto::face_liveness_service_client::FaceLivenessServiceClient,
    server::SERVICE_NAME,
    simulator::{Fault, FaultKind, Pace, Session, Status},
};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

#[tokio::test]
async fn region_credentials_and_endpoint_come_from_awss_standard_chain() {
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    let running = serve(
        &[],
        &[
            ("AWS_ENDPOINT_URL_REKOGNITION", &endpoint),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "any"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
        ],
    );
    let mut client =
        FaceLivenessServiceClient::connect(format!("http://{}", running.address)).await.expect("it listens");
    client.get_liveness_result(request(&id(1))).await.expect("an answer");
    let status = client.get_liveness_result(request(&id(2))).await.expect_err("unknown");
    assert!(status.message().contains("region eu-west-1"), "{}", status.message());
    assert_eq!(running.warnings, Vec::<String>::new());
}

#[tokio::test]
async fn without_credentials_it_lives_and_is_not_ready() {
    let running = serve(&[], &[("AWS_REGION", "us-east-1")]);
    let endpoint = Channel::from_shared(format!("http://{}", running.address)).expect("an address is a URI");
    let channel = endpoint.connect().await.expect("it listens");
    let mut health = HealthClient::new(channel);
    for (service, expected) in [("", ServingStatus::Serving), (SERVICE_NAME, ServingStatus::NotServing)] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.expect("a status").into_inner().status(), expected);
    }
}

#[tokio::test]
async fn a_region_without_face_liveness_is_warned_of_with_those_that_have_it() {
    for settings in [&[("AWS_REGION", "eu-central-1")][..], &[]] {
        let running = serve(&[], settings);
        assert_eq!(running.warnings.len(), 1, "{:?}", running.warnings);
        assert!(running.warnings[0].contains("eu-west-1, sa-east-1, us-east-1, us-west-2"), "{:?}", running.warnings);
    }
}

#[test]
fn bad_configuration_exits_64_and_names_the_flag() {
    for arguments in [&["serve", "--min-confidence", "0.9"][..], &["serve", "--no-such-flag"], &["nonsense"], &[]] {
        let output = program(arguments).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
    let output = program(&["serve"]).env("FACE_LIVENESS_IMAGE_TTL", "soon").output().expect("the program runs");
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--image-ttl"));
}

#[test]
fn a_busy_port_exits_1_with_one_sentence() {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = busy.local_addr().expect("a bound socket has an address").to_string();
    for command in ["serve", "demo", "simulate"] {
        let output = program(&[command, "--listen", &address]).output().expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(&address) && said.contains("--listen"), "{said}");
    }
}

#[test]
fn help_exits_0() {
    for arguments in
        [&["--help"][..], &["serve", "--help"], &["demo", "--help"], &["simulate", "--help"], &["--version"]]
    {
        let output = program(arguments).output().expect("the program runs");
        assert!(output.status.success() && !output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_signal_that_comes_as_soon_as_it_listens_ends_it_well() {
    let mut running = serve(&[], &[("AWS_REGION", "us-east-1")]);
    assert_eq!(running.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (simulator, endpoint) = simulator().await;
    simulator.script(Fault::new(FaultKind::Hang));
    let mut running = serve(
        &["--drain-timeout", "1h", "--upstream-timeout", "1h"],
        &[
            ("AWS_ENDPOINT_URL_REKOGNITION", &endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "any"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
        ],
    );
    let mut client =
        FaceLivenessServiceClient::connect(format!("http://{}", running.address)).await.expect("it listens");
    let held = tokio::spawn(async move { client.get_liveness_result(request(&id(1))).await });
    eventually("the read is under way", async || simulator.reads() == 1).await;
    running.signal();
    eventually("it is stopping", async || running.log().contains("stopping")).await;
    assert_eq!(running.terminate().code(), Some(130));
    held.await.expect("no panic").expect_err("it was cut off");
}
