//! The commands other than `serve`: their checks, messages and exit codes.

use crate::{
    certificates::{Authority, Secret},
    facade::{eventually, id, request},
    program::{aws, closed_port, program, serve, simulator},
};
use face_liveness_facade::simulator::{Fault, FaultKind, Pace, Session, Status};
use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Output, Stdio},
};
use tokio::net::{TcpListener, TcpStream};

/// The exit code and output of a command.
#[derive(Debug)]
pub struct CommandOutput {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr_lines: Vec<String>,
}

impl CommandOutput {
    pub fn new(output: &Output) -> Self {
        let stderr_lines = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
        Self { code: output.status.code(), stdout: String::from_utf8_lossy(&output.stdout).into_owned(), stderr_lines }
    }

    /// Asserts the exit code, and that standard error is one line that contains all of `words`.
    pub fn assert_error(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stderr_lines.len(), 1, "{self:?}");
        assert!(words.iter().all(|word| self.stderr_lines[0].contains(word)), "{words:?}: {self:?}");
    }
}

/// Runs a command until it exits, without blocking the servers of the test.
pub async fn run(arguments: &[&str], settings: &[(&str, &str)]) -> CommandOutput {
    let mut command = program(arguments);
    command.envs(settings.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    CommandOutput::new(&output.expect("the program runs"))
}

#[tokio::test]
async fn check_passes_when_aws_grants_the_read() {
    let (_simulator, endpoint) = simulator().await;
    let output = run(&["check"], &aws(&endpoint)).await;
    assert_eq!((output.code, output.stderr_lines.len()), (Some(0), 0), "{output:?}");
    for words in ["us-east-1", "credentials  found", "rekognition:GetFaceLivenessSessionResults is granted"] {
        assert!(output.stdout.contains(words), "{output:?}");
    }
}

#[tokio::test]
async fn check_explains_how_to_fix_a_failed_read() {
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
        run(&["check", "--upstream-timeout", "1s"], &aws(&endpoint)).await.assert_error(1, words);
    }
}

#[tokio::test]
async fn check_explains_how_to_fix_endpoint_credentials_and_region() {
    let endpoint = format!("http://{}", closed_port());
    run(&["check"], &aws(&endpoint)).await.assert_error(1, &["cannot be reached", "AWS_ENDPOINT_URL_REKOGNITION"]);
    let without = |names: &[&str]| aws(&endpoint).into_iter().filter(|(name, _)| !names.contains(name)).collect();
    let settings: Vec<_> = without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    run(&["check"], &settings).await.assert_error(1, &["there are no AWS credentials", "AWS_PROFILE"]);
    let settings: Vec<_> = without(&["AWS_REGION"]);
    run(&["check"], &settings).await.assert_error(1, &["no AWS region", "set AWS_REGION", "us-west-2"]);
}

#[tokio::test]
async fn check_reports_whether_a_server_is_ready_and_reads_in_any_case() {
    let (_simulator, endpoint) = simulator().await;
    let running = serve(&[], &aws(&endpoint));
    eventually("it is ready", async || running.log().contains("ready")).await;
    let output = run(&["check", "--server", &running.address], &aws(&endpoint)).await;
    assert_eq!((output.code, output.stderr_lines.len()), (Some(0), 0), "{output:?}");
    assert!(output.stdout.starts_with(&format!("server       {} is ready\n", running.address)), "{output:?}");

    let unready = serve(&[], &[("AWS_REGION", "us-east-1")]);
    for (address, words) in
        [(unready.address.clone(), "is not ready: its log says why"), (closed_port(), "no pod is ready")]
    {
        let output = run(&["check", "--server", &address], &aws(&endpoint)).await;
        output.assert_error(1, &[&address, words]);
        assert!(output.stdout.contains("GetFaceLivenessSessionResults is granted"), "{output:?}");
    }
}

#[tokio::test]
async fn check_tries_again_to_reach_a_server() {
    let (_simulator, endpoint) = simulator().await;
    let running = serve(&[], &aws(&endpoint));
    eventually("it is ready", async || running.log().contains("ready")).await;
    // As a Service of Kubernetes does, it rejects connections until it has a route.
    let service = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = service.local_addr().expect("it is bound").to_string();
    let server = running.address.clone();
    let route = tokio::spawn(async move {
        drop(service.accept().await);
        let (mut client, _) = service.accept().await.expect("another connection");
        let mut server = TcpStream::connect(server).await.expect("it listens");
        tokio::io::copy_bidirectional(&mut client, &mut server).await
    });
    let output = run(&["check", "--server", &address], &aws(&endpoint)).await;
    assert_eq!((output.code, output.stderr_lines.len()), (Some(0), 0), "{output:?}");
    assert!(output.stdout.contains(&format!("{address} is ready")), "{output:?}");
    route.abort();
}

#[tokio::test]
async fn health_of_a_ready_server_exits_0_on_both_ports() {
    let (_simulator, endpoint) = simulator().await;
    let running = serve(&[], &aws(&endpoint));
    eventually("it is ready", async || running.log().contains("ready")).await;
    for address in [&running.admin_address, &running.address] {
        let output = run(&["health", "--address", address], &[]).await;
        assert_eq!((output.code, &*output.stdout, output.stderr_lines.len()), (Some(0), "SERVING\n", 0), "{output:?}");
    }
    let output = run(&["health", "--address", &running.admin_address, "--service", "other.Service"], &[]).await;
    output.assert_error(1, &["has no health of \"other.Service\""]);
}

#[tokio::test]
async fn health_of_a_server_that_is_not_ready_exits_1() {
    let running = serve(&[], &[("AWS_REGION", "us-east-1")]);
    let address = ["health", "--address", &running.admin_address];
    run(&address, &[]).await.assert_error(1, &["faceliveness.v1.FaceLivenessService is not serving"]);
    // The process itself is live.
    assert_eq!(run(&[&address[..], &["--service", ""]].concat(), &[]).await.code, Some(0));
}

#[tokio::test]
async fn health_without_a_responding_server_exits_1() {
    let words = ["cannot connect to 127.0.0.1:", "Connection refused", "a Service of Kubernetes, no pod is ready"];
    run(&["health", "--address", &closed_port()], &[]).await.assert_error(1, &words);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = silent.local_addr().expect("a bound socket has an address").to_string();
    let output = run(&["health", "--address", &address, "--timeout", "300ms"], &[]).await;
    output.assert_error(1, &["did not respond within 300ms"]);
    run(&["health", "--address", "no address"], &[]).await.assert_error(1, &["--address", "127.0.0.1:9090"]);
}

#[tokio::test]
async fn validate_accepts_a_configuration_whose_ports_are_in_use() {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = busy.local_addr().expect("a bound socket has an address").to_string();
    let secret = Secret::new(&Authority::new().server(), "");
    let files = secret.files();
    let [cert, key] = [&files.cert, &files.key].map(|path| path.to_str().expect("the path is text"));
    let flags = ["--listen", &address, "--admin-listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key];
    let output = run(&[&["serve", "--validate"], &flags[..]].concat(), &[("AWS_REGION", "us-east-1")]).await;
    assert_eq!((output.code, output.stderr_lines.len()), (Some(0), 0), "{output:?}");
    assert_eq!(output.stdout, "The configuration is valid.\n");
}

#[tokio::test]
async fn validate_reports_every_configuration_error_at_once() {
    let flags = ["--min-confidence", "0.9", "--drain-timeout", "0s", "--allowed-clients", "spiffe://shop/*"];
    let settings = [("FACE_LIVENESS_IMAGES", "some"), ("FACE_LIVENESS_TLS_CERT", "a.pem"), ("AWS_RETRY_MODE", "never")];
    let output = run(&[&["serve", "--validate"], &flags[..]].concat(), &settings).await;
    assert_eq!(output.code, Some(64), "{output:?}");
    let names =
        ["--min-confidence", "--drain-timeout", "--images", "--tls-cert", "--allowed-clients", "AWS_RETRY_MODE"];
    assert_eq!(output.stderr_lines.len(), names.len(), "{output:?}");
    for name in names {
        assert_eq!(output.stderr_lines.iter().filter(|line| line.contains(name)).count(), 1, "{name}: {output:?}");
    }
    assert_eq!(output.stdout, "");
}

#[tokio::test]
async fn validate_reports_each_unusable_file() {
    let flags = ["--tls-cert", "no.crt", "--tls-key", "no.key", "--session-ref-key-file", "no.ref"];
    let output = run(&[&["serve", "--validate"], &flags[..]].concat(), &[]).await;
    assert_eq!((output.code, output.stderr_lines.len()), (Some(64), 2), "{output:?}");
    assert!(output.stderr_lines[0].contains("no.crt") && output.stderr_lines[1].contains("no.ref"), "{output:?}");
}

/// A key file. It is removed when this is dropped.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("face-liveness-{name}-{}", std::process::id()));
        fs::write(&path, content).expect("the temporary folder is writable");
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

/// Runs `session-ref` with this standard input.
fn piped(key: &str, input: &str) -> CommandOutput {
    let mut command = program(&["session-ref", "-", "--session-ref-key-file", key]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("the program reads");
    drop(stdin);
    CommandOutput::new(&child.wait_with_output().expect("the program exits"))
}

#[tokio::test]
async fn session_ref_prints_the_reference_that_the_server_logs() {
    let file = KeyFile::new("ref-key", "0123456789abcdef0123456789abcdef\n");
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    let running = serve(&["--access-log", "all", "--session-ref-key-file", file.path()], &aws(&endpoint));
    let mut client = running.client().await;
    client.get_liveness_result(request(&id(1))).await.expect("a response");
    let printed = run(&["session-ref", &id(1), "--session-ref-key-file", file.path()], &[]).await;
    assert_eq!((printed.code, printed.stderr_lines.len()), (Some(0), 0), "{printed:?}");
    let reference = format!(r#""session":"{}""#, printed.stdout.trim_end());
    eventually("the access log has it", async || running.log().contains(&reference)).await;
    assert_eq!(piped(file.path(), &format!("{}\n", id(1))).stdout, printed.stdout);
    let other = run(&["session-ref", &id(2)], &[("FACE_LIVENESS_SESSION_REF_KEY_FILE", file.path())]).await;
    assert!(other.code == Some(0) && other.stdout != printed.stdout, "{other:?}");
}

#[tokio::test]
async fn session_ref_rejects_malformed_ids_and_keys() {
    let (good, short) =
        (KeyFile::new("good-key", &"k".repeat(16)), KeyFile::new("short-key", "0123456789\n\n\n\n\n\n\n"));
    for bad in ["", "nonsense", &id(1).to_uppercase(), &format!("{}0", id(1))] {
        let output = run(&["session-ref", bad, "--session-ref-key-file", good.path()], &[]).await;
        output.assert_error(64, &["UUID"]);
        piped(good.path(), bad).assert_error(1, &["UUID"]);
    }
    let output = run(&["session-ref", &id(1), "--session-ref-key-file", short.path()], &[]).await;
    output.assert_error(64, &["holds 10 bytes and needs 16", "openssl rand"]);
    let output = run(&["session-ref", &id(1), "--session-ref-key-file", "no.key"], &[]).await;
    output.assert_error(64, &["no.key cannot be read"]);
    assert_eq!(run(&["session-ref", &id(1)], &[]).await.code, Some(64), "a key is needed");
}
