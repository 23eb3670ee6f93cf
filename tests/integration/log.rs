//! The messages of the log, and their levels.

use crate::{
    facade::{eventually, id, request, within},
    program::{self, Running, aws, serve, simulator},
};
use face_liveness_facade::{
    proto::{self, ResultView, face_liveness_service_client::FaceLivenessServiceClient},
    simulator::{Fault, FaultKind, Pace, Session, Simulator, Status},
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    time::Duration,
};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

struct Program {
    running: Running,
    client: FaceLivenessServiceClient<Channel>,
    simulator: Simulator,
}

impl Program {
    /// Starts the program. Session 1 has succeeded, and session 2 is pending.
    async fn start(flags: &[&str]) -> Self {
        let (simulator, endpoint) = simulator().await;
        simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
        simulator.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(2)) });
        let running = serve(flags, &aws(&endpoint));
        let client = running.client().await;
        Self { running, client, simulator }
    }

    async fn call(&mut self, number: u32, view: ResultView) {
        let min_confidence = Some(80.0);
        let request = proto::GetLivenessResultRequest { view: view.into(), min_confidence, ..request(&id(number)) };
        self.client.get_liveness_result(request).await.ok();
    }

    /// Waits until `done`, and returns the lines with this message.
    async fn lines(&self, message: &str, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let lines = || -> Vec<Value> {
            let log = self.running.log();
            let lines = log.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
            lines.filter(|line: &Value| line["message"] == message).collect()
        };
        eventually("the lines are logged", async || done(&lines())).await;
        lines()
    }
}

#[tokio::test]
async fn the_access_log_records_client_view_verdict_code_and_reason() {
    let mut program = Program::start(&["--access-log", "all"]).await;
    program.call(1, ResultView::Reference).await;
    program.call(1, ResultView::Basic).await;
    program.call(3, ResultView::Full).await;
    let lines = program.lines("call", |lines| lines.len() == 3).await;
    let expected = [
        ("REFERENCE", Some("SOURCE_UPSTREAM"), true, "OK", None),
        ("BASIC", Some("SOURCE_CACHE"), false, "OK", None),
        ("FULL", None, false, "NOT_FOUND", Some("SESSION_NOT_FOUND")),
    ];
    for (line, (view, source, images, code, reason)) in lines.iter().zip(expected) {
        assert_eq!(
            (&line["target"], &line["client"], &line["view"]),
            (&"access".into(), &"127.0.0.1".into(), &view.into())
        );
        assert_eq!((line["source"].as_str(), line["images"].as_bool()), (source, Some(images)), "{line}");
        assert_eq!((line["code"].as_str(), line["reason"].as_str()), (Some(code), reason), "{line}");
        assert_eq!(line["min_confidence"].as_f64(), Some(80.0), "{line}");
        assert_eq!(line["verdict"].as_str(), source.map(|_| "VERDICT_LIVE"), "{line}");
        assert!(line["millis"].as_f64().is_some_and(|millis| millis > 0.0), "{line}");
        assert_eq!(line["session"].as_str().map(str::len), Some(12), "{line}");
    }
    assert_eq!(lines[0]["session"], lines[1]["session"]);
    assert_ne!(lines[0]["session"], lines[2]["session"]);
}

#[tokio::test]
async fn throttling_is_logged_once_when_it_begins_and_once_when_it_has_ended() {
    let mut program = Program::start(&["--quota-tps", "10"]).await;
    program.simulator.script(Fault {
        times: Some(3),
        ..Fault::new(FaultKind::Error { code: "ThrottlingException".into(), status: 400, message: None })
    });
    program.call(1, ResultView::Basic).await;
    assert_eq!(program.simulator.reads_with_outcome("fault: error"), 3);
    let begins = "AWS throttles reads; the rate falls, and recovers when AWS no longer throttles";
    let begun = program.lines(begins, |lines| !lines.is_empty()).await;
    assert_eq!((begun.len(), &begun[0]["level"], &begun[0]["rate"]), (1, &"WARN".into(), &8.0.into()));
    assert!(!program.running.log().contains("AWS no longer throttles reads\""));
    let ended = async || program.running.log().contains("AWS no longer throttles reads\"");
    within(Duration::from_secs(40), "AWS no longer throttles", ended).await;
    let ended = program.lines("AWS no longer throttles reads", |lines| !lines.is_empty()).await;
    assert_eq!((ended.len(), &ended[0]["level"], &ended[0]["rate"]), (1, &"INFO".into(), &10.0.into()));
    assert_eq!(program.lines(begins, |lines| !lines.is_empty()).await.len(), 1);
}

#[tokio::test]
async fn without_an_access_log_image_access_is_not_logged() {
    let mut program = Program::start(&["--access-log", "none"]).await;
    program.call(1, ResultView::Reference).await;
    program.call(3, ResultView::Basic).await;
    program.lines("call failed", |lines| lines.len() == 1).await;
    assert!(!program.running.log().contains(r#""target":"access""#));
}

#[tokio::test]
async fn at_info_only_final_results_and_errors_are_logged() {
    let mut program = Program::start(&["--access-log", "none"]).await;
    for number in [1, 1, 2, 2, 3] {
        program.call(number, ResultView::Basic).await;
    }
    let endpoint = Channel::from_shared(format!("http://{}", program.running.address)).expect("an address is a URI");
    let mut health = HealthClient::new(endpoint.connect().await.expect("it listens"));
    health.check(HealthCheckRequest::default()).await.expect("a status");
    let rejected = program.lines("call failed", |lines| lines.len() == 1).await;
    assert_eq!((&rejected[0]["code"], &rejected[0]["reason"]), (&"NOT_FOUND".into(), &"SESSION_NOT_FOUND".into()));
    assert_eq!(rejected[0]["aws_code"], "SessionNotFoundException");
    assert_eq!(rejected[0]["aws_request_id"].as_str().map(str::len), Some(36));
    let finished = program.lines("session ended", |lines| lines.len() == 1).await;
    assert_eq!(finished[0]["status"], "LIVENESS_STATUS_SUCCEEDED");
    assert_eq!(finished[0]["aws_request_id"].as_str().map(str::len), Some(36));
    let log = program.running.log();
    let messages: Vec<_> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["message"].clone()).collect();
    assert!(
        messages.iter().all(|message| ["ready", "call failed", "session ended"].iter().any(|known| message == known)),
        "{messages:?}"
    );
}

#[tokio::test]
async fn at_debug_cache_hits_and_pending_statuses_are_logged() {
    let mut program = Program::start(&["--access-log", "none", "--log-level", "debug"]).await;
    program.call(1, ResultView::Basic).await;
    program.call(1, ResultView::Basic).await;
    program.call(2, ResultView::Basic).await;
    let lines = program.lines("call succeeded", |lines| lines.len() == 3).await;
    let logged: Vec<_> = lines.iter().map(|line| (line["source"].as_str(), line["status"].as_str())).collect();
    assert_eq!(logged[1], (Some("SOURCE_CACHE"), Some("LIVENESS_STATUS_SUCCEEDED")));
    assert_eq!(logged[2], (Some("SOURCE_UPSTREAM"), Some("LIVENESS_STATUS_IN_PROGRESS")));
}

#[tokio::test]
async fn replicas_with_the_same_key_log_the_same_session_reference() {
    let key = std::env::temp_dir().join(format!("face-liveness-key-{}", std::process::id()));
    std::fs::write(&key, "a key that all replicas have\n").expect("the temporary folder is writable");
    let flags = ["--access-log", "all", "--session-ref-key-file", key.to_str().expect("it is UTF-8")];
    let mut references = Vec::new();
    for _ in 0..2 {
        let mut program = Program::start(&flags).await;
        program.call(1, ResultView::Basic).await;
        references.push(program.lines("call", |lines| lines.len() == 1).await[0]["session"].clone());
    }
    std::fs::remove_file(key).ok();
    assert_eq!(references[0], references[1]);
}

#[tokio::test]
async fn the_log_of_demo_distinguishes_its_sessions_and_contains_no_whole_id() {
    let mut demo = program::program(&["demo", "--listen", "127.0.0.1:0"]).spawn().expect("the program starts");
    let mut guide = BufReader::new(demo.stdout.take().expect("it is piped"));
    let mut line = String::new();
    guide.read_line(&mut line).expect("the first line of the guide");
    let address = line.split_whitespace().find(|word| word.starts_with("127.0.0.1:")).expect("an address");
    let mut client = FaceLivenessServiceClient::connect(format!("http://{address}")).await.expect("it listens");
    let ids = ["1", "2", "7", "11"].map(|number| format!("facade00-0000-4000-8000-{number:0>12}"));
    for id in &ids {
        client.get_liveness_result(request(id)).await.expect("a response");
    }
    program::signal(demo.id(), "TERM");
    let log = String::from_utf8(demo.wait_with_output().expect("the program exits").stderr).expect("text");
    let reads = log.lines().filter(|line| line.contains("GetFaceLivenessSessionResults"));
    let sessions: BTreeSet<_> = reads.filter_map(|line| line.split("session=").nth(1)?.split('"').nth(1)).collect();
    let expected = ["facade00…0001", "facade00…0002", "facade00…0007", "facade00…0011"];
    assert_eq!(sessions, BTreeSet::from(expected), "{log}");
    assert!(ids.iter().all(|id| !log.contains(id.as_str())), "{log}");
}
