//! What the program tells of what happens, and at which level.

use crate::{
    facade::{eventually, id, request},
    program::{Running, serve, simulator},
};
use face_liveness_facade::{
    proto::{self, ResultView, face_liveness_service_client::FaceLivenessServiceClient},
    simulator::{Pace, Session, Simulator, Status},
};
use serde_json::Value;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

struct Program {
    running: Running,
    client: FaceLivenessServiceClient<Channel>,
    _simulator: Simulator,
}

impl Program {
    /// With a session 1 that has ended and a session 2 that has not.
    async fn start(flags: &[&str]) -> Self {
        let (simulator, endpoint) = simulator().await;
        simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
        simulator.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(2)) });
        let aws = [
            ("AWS_ENDPOINT_URL_REKOGNITION", &*endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "any"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
        ];
        let running = serve(flags, &aws);
        let address = format!("http://{}", running.address);
        let client = FaceLivenessServiceClient::connect(address).await.expect("it listens");
        Self { running, client, _simulator: simulator }
    }

    async fn ask(&mut self, number: u32, view: ResultView) {
        let min_confidence = Some(80.0);
        let asked = proto::GetLivenessResultRequest { view: view.into(), min_confidence, ..request(&id(number)) };
        self.client.get_liveness_result(asked).await.ok();
    }

    /// The lines with this message, once `done`.
    async fn lines(&self, message: &str, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let lines = || -> Vec<Value> {
            let log = self.running.log();
            let lines = log.lines().map(|line| serde_json::from_str(line).expect("a line is JSON"));
            lines.filter(|line: &Value| line["message"] == message).collect()
        };
        eventually("the lines are there", async || done(&lines())).await;
        lines()
    }
}

#[tokio::test]
async fn the_access_log_tells_who_asked_for_what_and_got_which_code() {
    let mut program = Program::start(&["--access-log", "all"]).await;
    program.ask(1, ResultView::Reference).await;
    program.ask(1, ResultView::Basic).await;
    program.ask(3, ResultView::Full).await;
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
        assert!(line["millis"].as_f64().is_some_and(|millis| millis > 0.0), "{line}");
        assert_eq!(line["session"].as_str().map(str::len), Some(12), "{line}");
    }
    assert_eq!(lines[0]["session"], lines[1]["session"]);
    assert_ne!(lines[0]["session"], lines[2]["session"]);
}

#[tokio::test]
async fn without_an_access_log_not_even_a_face_that_leaves_is_told() {
    let mut program = Program::start(&["--access-log", "none"]).await;
    program.ask(1, ResultView::Reference).await;
    program.ask(3, ResultView::Basic).await;
    program.lines("call failed", |lines| lines.len() == 1).await;
    assert!(!program.running.log().contains(r#""target":"access""#));
}

#[tokio::test]
async fn at_info_the_end_of_a_session_and_errors_are_told_and_neither_hits_nor_states_nor_health() {
    let mut program = Program::start(&["--access-log", "none"]).await;
    for number in [1, 1, 2, 2, 3] {
        program.ask(number, ResultView::Basic).await;
    }
    let endpoint = Channel::from_shared(format!("http://{}", program.running.address)).expect("an address is a URI");
    let mut health = HealthClient::new(endpoint.connect().await.expect("it listens"));
    health.check(HealthCheckRequest::default()).await.expect("a status");
    let refused = program.lines("call failed", |lines| lines.len() == 1).await;
    assert_eq!((&refused[0]["code"], &refused[0]["reason"]), (&"NOT_FOUND".into(), &"SESSION_NOT_FOUND".into()));
    assert_eq!(refused[0]["aws_code"], "SessionNotFoundException");
    assert_eq!(refused[0]["aws_request_id"].as_str().map(str::len), Some(36));
    let ended = program.lines("session ended", |lines| lines.len() == 1).await;
    assert_eq!(ended[0]["status"], "LIVENESS_STATUS_SUCCEEDED");
    assert_eq!(ended[0]["aws_request_id"].as_str().map(str::len), Some(36));
    let log = program.running.log();
    let messages: Vec<_> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["message"].clone()).collect();
    assert!(
        messages.iter().all(|message| ["ready", "call failed", "session ended"].iter().any(|known| message == known)),
        "{messages:?}"
    );
}

#[tokio::test]
async fn at_debug_hits_and_states_are_told_too() {
    let mut program = Program::start(&["--access-log", "none", "--log-level", "debug"]).await;
    program.ask(1, ResultView::Basic).await;
    program.ask(1, ResultView::Basic).await;
    program.ask(2, ResultView::Basic).await;
    let lines = program.lines("call succeeded", |lines| lines.len() == 3).await;
    let told: Vec<_> = lines.iter().map(|line| (line["source"].as_str(), line["status"].as_str())).collect();
    assert_eq!(told[1], (Some("SOURCE_CACHE"), Some("LIVENESS_STATUS_SUCCEEDED")));
    assert_eq!(told[2], (Some("SOURCE_UPSTREAM"), Some("LIVENESS_STATUS_IN_PROGRESS")));
}

#[tokio::test]
async fn replicas_with_the_same_key_call_a_session_by_the_same_reference() {
    let key = std::env::temp_dir().join(format!("face-liveness-key-{}", std::process::id()));
    std::fs::write(&key, "a key that all replicas have\n").expect("the folder for temporary files takes one");
    let flags = ["--access-log", "all", "--session-ref-key-file", key.to_str().expect("it is UTF-8")];
    let mut references = Vec::new();
    for _ in 0..2 {
        let mut program = Program::start(&flags).await;
        program.ask(1, ResultView::Basic).await;
        references.push(program.lines("call", |lines| lines.len() == 1).await[0]["session"].clone());
    }
    std::fs::remove_file(key).ok();
    assert_eq!(references[0], references[1]);
}
