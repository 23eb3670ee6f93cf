use std::{
    io::{self, Write},
    sync::Mutex,
};

use axum::http::header::AUTHORIZATION;
use tokio::time::Instant;
use tower::ServiceExt;

use super::*;
use crate::{Config, Fault, Pace, Session, Simulator, Status};

const ID: &str = "0123abcd-0000-4000-8000-0123456789ab";
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=k/20261101/eu-west-1/rekognition/aws4_request, SignedHeaders=host, Signature=0f";

fn endpoint(config: Config) -> (Endpoint, Simulator, watch::Sender<bool>) {
    let (sender, receiver) = watch::channel(false);
    let simulator = Simulator::new(config);
    simulator.place(Session { pace: Pace::Frozen(Status::Created), ..Session::new(ID) });
    let state = Arc::clone(&simulator.state);
    (Endpoint { state, shutdown: Shutdown(Some(receiver)) }, simulator, sender)
}

fn read(id: &str) -> Request {
    Request::post("/")
        .header(CONTENT_TYPE, "application/x-amz-json-1.1")
        .header("x-amz-target", "RekognitionService.GetFaceLivenessSessionResults")
        .header(AUTHORIZATION, SIGNED)
        .body(json!({"SessionId": id}).to_string().into())
        .unwrap()
}

/// Returns the HTTP status, and the error code or the status of the session.
async fn send(endpoint: &Endpoint, request: Request) -> (u16, String) {
    let response = receive(extract::State(endpoint.clone()), request).await;
    assert!(response.headers().contains_key("x-amzn-requestid"));
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let outcome = [&body["__type"], &body["Status"]].into_iter().find_map(Value::as_str);
    (status, outcome.unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_check_rejects_with_its_error() {
    let (endpoint, simulator, _shutdown) = endpoint(Config::default());
    let change = |change: fn(&mut Request)| {
        let mut request = read(ID);
        change(&mut request);
        request
    };
    for (request, expected) in [
        (read(ID), (200, "CREATED")),
        (change(|request| *request.method_mut() = Method::GET), (404, "")),
        (change(|request| drop(request.headers_mut().remove(CONTENT_TYPE))), (404, "")),
        (change(|request| drop(request.headers_mut().remove("x-amz-target"))), (400, "UnknownOperationException")),
        (change(|request| *request.body_mut() = vec![b' '; 70_000].into()), (413, "RequestEntityTooLargeException")),
        (
            change(|request| drop(request.headers_mut().remove(AUTHORIZATION))),
            (400, "MissingAuthenticationTokenException"),
        ),
        (change(|request| *request.body_mut() = "{".into()), (400, "SerializationException")),
        (read("no id"), (400, "ValidationException")),
        (read(&ID.replace('b', "c")), (400, "SessionNotFoundException")),
    ] {
        assert_eq!(send(&endpoint, request).await, (expected.0, expected.1.to_owned()));
    }
    assert_eq!((simulator.reads(), simulator.reads_of(ID)), (5, 2));
}

#[tokio::test]
async fn a_faulted_request_is_counted_and_does_not_use_the_quota() {
    let (endpoint, simulator, _shutdown) = endpoint(Config { quota_tps: 1, ..Config::default() });
    let error = FaultKind::Error { code: "AccessDeniedException".into(), status: 403, message: None };
    simulator.script(Fault { times: Some(1), ..Fault::new(error) });
    assert_eq!(send(&endpoint, read(ID)).await, (403, "AccessDeniedException".to_owned()));
    assert_eq!(send(&endpoint, read(ID)).await.0, 200);
    assert_eq!(send(&endpoint, read(ID)).await, (400, "ThrottlingException".to_owned()));
    assert_eq!((simulator.reads(), simulator.throttled()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn latencies_add_up_and_a_shutdown_ends_them() {
    let (endpoint, simulator, shutdown) = endpoint(Config { latency: Duration::from_millis(20), ..Config::default() });
    simulator.script(Fault::new(FaultKind::Latency { ms: 500 }));
    let began = Instant::now();
    assert_eq!(send(&endpoint, read(ID)).await.1, "CREATED");
    assert_eq!(began.elapsed().as_millis() / 10, 52);
    simulator.clear_faults();
    simulator.script(Fault::new(FaultKind::Hang));
    let (response, ()) = tokio::join!(receive(extract::State(endpoint.clone()), read(ID)), async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        shutdown.send_replace(true);
    });
    assert_eq!((response.status().as_u16(), began.elapsed().as_secs()), (503, 60));
}

#[tokio::test]
async fn a_cut_body_is_shorter_than_its_content_length() {
    let (endpoint, simulator, _shutdown) = endpoint(Config::default());
    simulator.script(Fault::new(FaultKind::CutBody));
    let response = receive(extract::State(endpoint), read(ID)).await;
    assert!(response.headers()[CONTENT_LENGTH].to_str().unwrap().parse::<usize>().unwrap() > 50);
    assert!(to_bytes(response.into_body(), usize::MAX).await.is_err());
}

#[tokio::test]
async fn a_raw_fault_does_not_look_like_aws() {
    let (endpoint, simulator, _shutdown) = endpoint(Config::default());
    let raw = FaultKind::Raw { status: 429, content_type: Some("text/html".into()), body: "busy".into() };
    simulator.script(Fault::new(raw));
    let response = receive(extract::State(endpoint), read(ID)).await;
    assert_eq!((response.status().as_u16(), &response.headers()[CONTENT_TYPE]), (429, &"text/html".parse().unwrap()));
    assert!(!response.headers().contains_key("x-amzn-requestid"));
}

fn create(token: &str) -> Request {
    let mut request = read(ID);
    let target = "RekognitionService.CreateFaceLivenessSession".parse().unwrap();
    request.headers_mut().insert("x-amz-target", target);
    *request.body_mut() = json!({"ClientRequestToken": token}).to_string().into();
    request
}

#[tokio::test]
async fn a_repeated_token_is_logged_once_per_repetition() {
    let (endpoint, _, _shutdown) = endpoint(Config::default());
    let (log, reader) = log();
    for _ in 0..2 {
        assert_eq!(send(&endpoint, create("outcome-failed-1")).await.0, 200);
    }
    assert_eq!(send(&endpoint, create("outcome-failed-2")).await.0, 200);
    drop(log);
    let log = reader.text();
    assert_eq!(log.matches("a ClientRequestToken was repeated").count(), 1, "{log}");
}

#[tokio::test]
async fn the_reads_of_a_session_are_counted_by_outcome() {
    let (endpoint, simulator, _shutdown) = endpoint(Config::default());
    send(&endpoint, read(ID)).await;
    simulator.script(Fault { times: Some(1), ..Fault::new(FaultKind::Latency { ms: 0 }) });
    send(&endpoint, read(&ID.replace('b', "c"))).await;
    send(&endpoint, read(ID)).await;
    let expected = json!({"received": 2, "outcomes": {"CREATED": 2}});
    assert_eq!(control(&simulator, "GET", &format!("requests/{ID}")).await, (200, expected));
    let other = format!("requests/{}", ID.replace('b', "c"));
    let expected = json!({"received": 1, "outcomes": {"fault: latency": 1}});
    assert_eq!(control(&simulator, "GET", &other).await, (200, expected));
    let never = format!("requests/{}", ID.replace('b', "d"));
    assert_eq!(control(&simulator, "GET", &never).await, (200, json!({"received": 0, "outcomes": {}})));
    assert_eq!(control(&simulator, "GET", "requests/no-id").await.0, 400);
}

#[tokio::test]
async fn a_reset_removes_sessions_tokens_faults_and_counts_and_refills_the_quota() {
    let (endpoint, simulator, _shutdown) = endpoint(Config { quota_tps: 1, ..Config::default() });
    send(&endpoint, create("token")).await;
    assert_eq!(send(&endpoint, create("token")).await.1, "ThrottlingException");
    send(&endpoint, read(ID)).await;
    simulator.script(Fault::new(FaultKind::CutBody));
    assert_eq!(control(&simulator, "POST", "reset").await, (200, json!({"sessions": 2, "faults": 1})));
    assert_eq!((simulator.reads(), simulator.reads_of(ID), simulator.throttled()), (0, 0, 0));
    assert_eq!(send(&endpoint, read(ID)).await, (400, "SessionNotFoundException".to_owned()));
    assert_eq!(send(&endpoint, create("token")).await.0, 200);
    assert_eq!(control(&simulator, "POST", "reset").await, (200, json!({"sessions": 1, "faults": 0})));
}

/// Calls the control API, and returns the HTTP status and the JSON of the response.
async fn control(simulator: &Simulator, method: &str, path: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(format!("/simulator/{path}")).body(Body::empty()).unwrap();
    let response = simulator.router().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap())
}

/// Records the log of this thread until the guard is dropped.
fn log() -> (tracing::subscriber::DefaultGuard, Log) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    (tracing::subscriber::set_default(subscriber), log)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_shortened_id_has_its_first_and_its_last_characters() {
    assert_eq!(shortened("facade00-0000-4000-8000-0000000000e1"), "facade00…00e1");
    // Not the ids of sessions: a request can contain any text.
    for (id, expected) in
        [("", ""), ("short", "short"), (&"ü".repeat(40), "üüüü…üü"), (&"x".repeat(5_000), "xxxxxxxx…xxxx")]
    {
        assert_eq!(shortened(id), expected);
    }
}
