//! The commands beside `serve`: what they find, what they say of it, and how they exit.

use crate::{
    certificates::{Authority, Secret},
    facade::{eventually, id, request},
    program::{aws, program, serve, simulator},
};
use face_liveness_facade::{
    proto::face_liveness_service_client::FaceLivenessServiceClient,
    simulator::{Fault, FaultKind, Pace, Session, Status},
};
use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Output, Stdio},
};

/// What a command came to.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub said: String,
    pub complaints: Vec<String>,
}

impl Outcome {
    fn of(output: &Output) -> Self {
        let complaints = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
        Self { code: output.status.code(), said: String::from_utf8_lossy(&output.stdout).into_owned(), complaints }
    }

    /// It exits with `code`, and with one sentence that has all of `words`.
    pub fn complains(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.complaints.len(), 1, "{self:?}");
        assert!(words.iter().all(|word| self.complaints[0].contains(word)), "{words:?}: {self:?}");
    }
}

/// Runs a command to its end, while this test's own servers answer.
pub async fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Outcome {
    let mut command = program(arguments);
    command.envs(settings.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    Outcome::of(&output.expect("the program runs"))
}

/// A port where nobody listens.
fn closed_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").to_string()
}

#[tokio::test]
async fn check_passes_where_a_read_is_possible() {
    let (_simulator, endpoint) = simulator().await;
    let outcome = run(&["check"], &aws(&endpoint)).await;
    assert_eq!((outcome.code, outcome.complaints.len()), (Some(0), 0), "{outcome:?}");
    for words in ["us-east-1", "credentials  found", "rekognition:GetFaceLivenessSessionResults is granted"] {
        assert!(outcome.said.contains(words), "{outcome:?}");
    }
}

#[tokio::test]
async fn check_says_what_to_mend_when_a_read_fails() {
    let error = |code: &str| FaultKind::Error { code: code.to_owned(), status: 400, message: None };
    let html = Some("text/html".to_owned());
    let page = FaultKind::Raw { status: 200, content_type: html, body: "<h1>Welcome</h1>".to_owned() };
    let (simulator, endpoint) = simulator().await;
    for (kind, words) in [
        (error("AccessDeniedException"), &["allow rekognition:GetFaceLivenessSessionResults", "AccessDeniedException"]),
        (error("ThrottlingException"), &["AWS throttles", "try again"]),
        (error("ExpiredTokenException"), &["AWS rejects the credentials", "expired"]),
        (error("SomethingOfTomorrowException"), &["this version does not know", "SomethingOfTomorrowException"]),
        (page, &["does not respond like AWS", "AWS_ENDPOINT_URL_REKOGNITION"]),
        (FaultKind::Hang, &["does not respond in time", "HTTPS_PROXY"]),
    ] {
        simulator.clear_faults();
        simulator.script(Fault::new(kind));
        run(&["check", "--upstream-timeout", "1s"], &aws(&endpoint)).await.complains(1, words);
    }
}

#[tokio::test]
async fn check_says_what_to_mend_before_it_can_read() {
    let endpoint = format!("http://{}", closed_port());
    run(&["check"], &aws(&endpoint)).await.complains(1, &["cannot be reached", "AWS_ENDPOINT_URL_REKOGNITION"]);
    let without = |names: &[&str]| aws(&endpoint).into_iter().filter(|(name, _)| !names.contains(name)).collect();
    let settings: Vec<_> = without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    run(&["check"], &settings).await.complains(1, &["there are no AWS credentials", "AWS_PROFILE"]);
    let settings: Vec<_> = without(&["AWS_REGION"]);
    run(&["check"], &settings).await.complains(1, &["no AWS region", "set AWS_REGION", "us-west-2"]);
}

#[tokio::test]
async fn health_of_a_ready_server_exits_0_on_both_ports() {
    let (_simulator, endpoint) = simulator().await;
    let running = serve(&[], &aws(&endpoint));
    eventually("it is ready", async || running.log().contains("ready")).await;
    for address in [&running.admin_address, &running.address] {
        let outcome = run(&["health", "--address", address], &[]).await;
        assert_eq!((outcome.code, &*outcome.said, outcome.complaints.len()), (Some(0), "SERVING\n", 0), "{outcome:?}");
    }
    let outcome = run(&["health", "--address", &running.admin_address, "--service", "other.Service"], &[]).await;
    outcome.complains(1, &["has no health of \"other.Service\""]);
}

#[tokio::test]
async fn health_of_a_server_that_is_not_ready_exits_1() {
    let running = serve(&[], &[("AWS_REGION", "us-east-1")]);
    let address = ["health", "--address", &running.admin_address];
    run(&address, &[]).await.complains(1, &["faceliveness.v1.FaceLivenessService is not serving"]);
    // The process itself is well.
    assert_eq!(run(&[&address[..], &["--service", ""]].concat(), &[]).await.code, Some(0));
}

#[tokio::test]
async fn health_where_no_server_answers_exits_1() {
    run(&["health", "--address", &closed_port()], &[]).await.complains(1, &["cannot connect to 127.0.0.1:"]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = silent.local_addr().expect("a bound socket has an address").to_string();
    let outcome = run(&["health", "--address", &address, "--timeout", "300ms"], &[]).await;
    outcome.complains(1, &["did not respond within 300ms"]);
    run(&["health", "--address", "no address"], &[]).await.complains(1, &["--address", "127.0.0.1:9090"]);
}

#[tokio::test]
async fn a_good_configuration_is_valid_though_its_ports_are_busy() {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = busy.local_addr().expect("a bound socket has an address").to_string();
    let secret = Secret::new(&Authority::new().server(), "");
    let files = secret.files();
    let [cert, key] = [&files.cert, &files.key].map(|path| path.to_str().expect("the path is text"));
    let flags = ["--listen", &address, "--admin-listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key];
    let outcome = run(&[&["serve", "--validate"], &flags[..]].concat(), &[("AWS_REGION", "us-east-1")]).await;
    assert_eq!((outcome.code, outcome.complaints.len()), (Some(0), 0), "{outcome:?}");
    assert_eq!(outcome.said, "The configuration is valid.\n");
}

#[tokio::test]
async fn all_that_is_wrong_with_a_configuration_is_told_at_once() {
    let flags = ["--min-confidence", "0.9", "--drain-timeout", "0s", "--allowed-clients", "spiffe://shop/*"];
    let settings = [("FACE_LIVENESS_IMAGES", "some"), ("FACE_LIVENESS_TLS_CERT", "a.pem"), ("AWS_RETRY_MODE", "never")];
    let outcome = run(&[&["serve", "--validate"], &flags[..]].concat(), &settings).await;
    assert_eq!(outcome.code, Some(64), "{outcome:?}");
    let names =
        ["--min-confidence", "--drain-timeout", "--images", "--tls-cert", "--allowed-clients", "AWS_RETRY_MODE"];
    assert_eq!(outcome.complaints.len(), names.len(), "{outcome:?}");
    for name in names {
        assert_eq!(
            outcome.complaints.iter().filter(|sentence| sentence.contains(name)).count(),
            1,
            "{name}: {outcome:?}"
        );
    }
    assert_eq!(outcome.said, "");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_one_by_one() {
    let flags = ["--tls-cert", "no.crt", "--tls-key", "no.key", "--session-ref-key-file", "no.ref"];
    let outcome = run(&[&["serve", "--validate"], &flags[..]].concat(), &[]).await;
    assert_eq!((outcome.code, outcome.complaints.len()), (Some(64), 2), "{outcome:?}");
    assert!(outcome.complaints[0].contains("no.crt") && outcome.complaints[1].contains("no.ref"), "{outcome:?}");
}

/// A file of this test, removed with it.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("face-liveness-{name}-{}", std::process::id()));
        fs::write(&path, content).expect("the folder for temporary files takes one");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path is text")
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// What `session-ref` makes of what it reads from standard input.
fn piped(key: &str, input: &str) -> Outcome {
    let mut command = program(&["session-ref", "-", "--session-ref-key-file", key]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    Outcome::of(&child.wait_with_output().expect("it ends"))
}

#[tokio::test]
async fn session_ref_prints_what_stands_in_the_servers_log() {
    let file = KeyFile::new("ref-key", "0123456789abcdef0123456789abcdef\n");
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    let running = serve(&["--access-log", "all", "--session-ref-key-file", file.path()], &aws(&endpoint));
    let mut client =
        FaceLivenessServiceClient::connect(format!("http://{}", running.address)).await.expect("it listens");
    client.get_liveness_result(request(&id(1))).await.expect("an answer");
    let printed = run(&["session-ref", &id(1), "--session-ref-key-file", file.path()], &[]).await;
    assert_eq!((printed.code, printed.complaints.len()), (Some(0), 0), "{printed:?}");
    let reference = format!(r#""session":"{}""#, printed.said.trim_end());
    eventually("the access log has it", async || running.log().contains(&reference)).await;
    assert_eq!(piped(file.path(), &format!("{}\n", id(1))).said, printed.said);
    let other = run(&["session-ref", &id(2)], &[("FACE_LIVENESS_SESSION_REF_KEY_FILE", file.path())]).await;
    assert!(other.code == Some(0) && other.said != printed.said, "{other:?}");
}

#[tokio::test]
async fn session_ref_refuses_what_is_no_id_or_no_key() {
    let (good, short) =
        (KeyFile::new("good-key", &"k".repeat(16)), KeyFile::new("short-key", "0123456789\n\n\n\n\n\n\n"));
    for bad in ["", "nonsense", &id(1).to_uppercase(), &format!("{}0", id(1))] {
        let outcome = run(&["session-ref", bad, "--session-ref-key-file", good.path()], &[]).await;
        outcome.complains(64, &["UUID"]);
        piped(good.path(), bad).complains(1, &["UUID"]);
    }
    let outcome = run(&["session-ref", &id(1), "--session-ref-key-file", short.path()], &[]).await;
    outcome.complains(64, &["holds 10 bytes and needs 16", "openssl rand"]);
    let outcome = run(&["session-ref", &id(1), "--session-ref-key-file", "no.key"], &[]).await;
    outcome.complains(64, &["no.key cannot be read"]);
    assert_eq!(run(&["session-ref", &id(1)], &[]).await.code, Some(64), "a key is needed");
}
