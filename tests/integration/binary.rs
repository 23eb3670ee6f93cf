//! The program: its exit codes, and the AWS provider chain.

use crate::{
    facade::{eventually, id, request},
    program::{aws, program, serve, simulator},
};
use face_liveness_facade::{
    server::SERVICE_NAME,
    simulator::{Fault, FaultKind, Pace, Session, Status},
};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

#[tokio::test]
async fn region_credentials_and_endpoint_come_from_the_aws_provider_chain() {
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    let running = serve(&[], &[&aws(&endpoint)[..], &[("AWS_REGION", "eu-west-1")]].concat());
    let mut client = running.client().await;
    client.get_liveness_result(request(&id(1))).await.expect("a response");
    let status = client.get_liveness_result(request(&id(2))).await.expect_err("unknown");
    assert!(status.message().contains("region eu-west-1"), "{}", status.message());
    assert_eq!(running.warnings, Vec::<String>::new());
}

#[tokio::test]
async fn without_credentials_the_program_is_live_and_not_ready() {
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
async fn a_region_without_face_liveness_logs_a_warning_with_the_valid_regions() {
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
fn a_port_in_use_exits_1_with_one_sentence() {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = busy.local_addr().expect("a bound socket has an address").to_string();
    for command in ["serve", "demo", "simulate"] {
        let output = program(&[command, "--listen", &address]).output().expect("the program runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(&address) && stderr.contains("--listen"), "{stderr}");
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
fn help_groups_options_by_topic_and_lists_the_exit_codes() {
    let output = program(&["serve", "--help"]).output().expect("the program runs");
    let help = String::from_utf8_lossy(&output.stdout);
    let topics: Vec<_> = help.lines().filter(|line| line.ends_with(':') && !line.starts_with(' ')).collect();
    let expected = [
        "Options:",
        "Ports:",
        "Cache:",
        "Reads from AWS:",
        "Requests:",
        "Logs:",
        "Shared cache:",
        "TLS:",
        "Clients:",
        "Limits:",
        "Shutdown:",
        "Exit codes:",
    ];
    assert_eq!(topics, expected, "{help}");
    let without_topic = help.split("Ports:").next().expect("text").matches("\n      --").count();
    assert_eq!(without_topic, 1, "only --validate has no topic: {help}");
    for command in ["serve", "demo", "simulate", "check", "health", "session-ref", "descriptor-set", ""] {
        let arguments: Vec<_> = [command, "--help"].into_iter().filter(|argument| !argument.is_empty()).collect();
        let output = program(&arguments).output().expect("the program runs");
        let help = String::from_utf8_lossy(&output.stdout);
        let codes = help.split("Exit codes:\n").nth(1).unwrap_or_default().lines();
        let codes: Vec<_> = codes.filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(codes, ["0", "1", "64", "130"], "{command}: {help}");
    }
}

#[test]
fn the_help_of_simulate_names_outcomes_and_faults() {
    let output = program(&["simulate", "--help"]).output().expect("the program runs");
    let help = String::from_utf8_lossy(&output.stdout);
    for name in
        ["outcome-confidence-", "outcome-failed", "outcome-expired", "ThrottlingException", "\"hang\"", "\"raw\""]
    {
        assert!(help.contains(name), "{name}: {help}");
    }
}

#[test]
fn sigterm_right_after_startup_exits_0() {
    let mut running = serve(&[], &[("AWS_REGION", "us-east-1")]);
    assert_eq!(running.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_exits_immediately() {
    let (simulator, endpoint) = simulator().await;
    simulator.script(Fault::new(FaultKind::Hang));
    let mut running = serve(&["--drain-timeout", "1h", "--upstream-timeout", "1h"], &aws(&endpoint));
    let mut client = running.client().await;
    let call = tokio::spawn(async move { client.get_liveness_result(request(&id(1))).await });
    eventually("the read has started", async || simulator.reads() == 1).await;
    running.send_sigterm();
    eventually("it is stopping", async || running.log().contains("stopping")).await;
    assert_eq!(running.terminate().code(), Some(130));
    call.await.expect("no panic").expect_err("the connection was closed");
}
