//! The limit of open files, of which each connection is one.

use crate::{
    admin::{get, value},
    commands::CommandOutput,
    facade::{eventually, id, request},
    program::{Running, arguments, aws, scripted, simulator},
};
use face_liveness_facade::simulator::{Pace, Session, Status};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

/// The preface and the settings of an HTTP/2 client. Without them, a connection is closed after 10
/// s.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// How long a probe and a read may take on a busy machine. Without a file, they take until others
/// leave.
const LIMIT: Duration = Duration::from_secs(10);

/// Returns what `serve --validate` prints with this hard limit.
fn validate(files: u32, max_connections: &str) -> CommandOutput {
    let arguments = ["serve", "--validate", "--log-format", "text", "--max-connections", max_connections];
    let mut command = scripted(&format!(r#"ulimit -n {files} && exec "$@""#), &arguments);
    CommandOutput::new(&command.envs(aws("http://127.0.0.1:1")).output().expect("the program runs"))
}

#[test]
fn a_hard_limit_that_is_too_low_logs_a_warning_with_the_connections_that_fit() {
    let words = ["hard limit of open files", "1024", "--max-connections 10000", "only 619 connections are served"];
    validate(1024, "10000").assert_error(0, &words);
    let fits = validate(1024, "619");
    assert_eq!((fits.code, fits.stderr_lines), (Some(0), vec![]));
    validate(100, "1").assert_error(64, &["hard limit of open files", "is 100", "one connection needs 344"]);
}

#[test]
fn a_low_soft_limit_is_raised() {
    let running = Running::start(
        scripted(r#"ulimit -Sn 256 && exec "$@""#, &arguments(&["--max-connections", "500"]))
            .env("AWS_REGION", "us-east-1"),
    );
    assert_eq!(running.warnings, Vec::<String>::new());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.pid())).expect("the process runs");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("Linux reports it");
    let soft: u64 = line.split_whitespace().next().and_then(|soft| soft.parse().ok()).expect("a number");
    assert!(soft >= 893, "{line}");
}

#[tokio::test]
async fn with_all_connections_open_probes_pass_and_aws_is_read() {
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    let running = Running::start(
        scripted(r#"ulimit -n 400 && exec "$@""#, &arguments(&["--max-connections", "10000"])).envs(aws(&endpoint)),
    );
    let mut client = running.client().await;
    let mut connections = Vec::new();
    for _ in 0..420 {
        let mut connection = TcpStream::connect(&running.address).await.expect("the port is open");
        // Fails if the connection does not fit.
        connection.write_all(HELLO).await.ok();
        connections.push(connection);
    }
    let admin = async |path| timeout(LIMIT, get(&running.admin_address, path)).await.expect("the admin port responds");
    assert_eq!(admin("/livez").await.0, 200);
    let closed = r#"face_liveness_connections_closed_total{reason="limit"}"#;
    eventually("the connections that do not fit are closed", async || {
        value(&admin("/metrics").await.1, closed) > 300.0
    })
    .await;
    let read = timeout(LIMIT, client.get_liveness_result(request(&id(1)))).await.expect("the call ends");
    read.expect("a result of AWS");
    assert!(!running.log().contains("cannot accept connections"), "{}", running.log());
}
