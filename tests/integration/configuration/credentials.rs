//! Credentials that cannot sign a request, from the environment and from other providers.

use super::Folder;
use crate::{
    commands::run,
    facade::{eventually, id, reason, request},
    program::{Running, aws, serve, simulator},
};
use face_liveness_facade::simulator::{Pace, Session, Simulator, Status};
use tonic::Code;

#[tokio::test]
async fn malformed_credentials_in_the_environment_exit_64_and_are_not_printed() {
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        for (value, description) in [
            ("hunter2\n", "a line break"),
            ("hunter2\r\n", "a line break"),
            ("hunter2 ", "white space"),
            ("\thunter2", "white space"),
            ("hunter\u{7f}2", "a control character"),
            ("hunt\u{e9}r2", "a character that is not ASCII"),
        ] {
            let settings = [&aws("http://127.0.0.1:1")[..], &[(name, value)]].concat();
            for command in [&["serve"][..], &["serve", "--validate"], &["check"]] {
                let output = run(command, &settings).await;
                output.assert_error(64, &[name, description]);
                assert!(!format!("{output:?}").contains("hunt"), "{output:?}");
            }
        }
    }
}

/// Starts the program with region, endpoint and these AWS settings. Returns it with its simulator
/// and all AWS settings.
async fn start(settings: &[(&str, &str)]) -> (Running, Simulator, Vec<(String, String)>) {
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(2)) });
    let settings = [&aws(&endpoint)[..2], settings].concat();
    let running = serve(&["--upstream-timeout", "2s"], &settings);
    (running, simulator, settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

async fn call(running: &Running, number: u32) -> (Code, String) {
    match running.client().await.get_liveness_result(request(&id(number))).await {
        Ok(_) => (Code::Ok, String::new()),
        Err(status) => (status.code(), reason(&status)),
    }
}

/// Asserts that the log contains `words`, calls get UPSTREAM_CREDENTIALS without a read, and `check`
/// exits 1.
async fn assert_cannot_read(settings: &[(&str, &str)], words: &str) -> (Running, Simulator) {
    let (running, simulator, settings) = start(settings).await;
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    eventually("the reason is logged", async || running.log().contains(words)).await;
    assert_eq!(call(&running, 1).await, (Code::Unavailable, "UPSTREAM_CREDENTIALS".to_owned()), "{words}");
    let health = run(&["health", "--address", &running.admin_address], &[]).await;
    assert_eq!((health.code, simulator.reads()), (Some(1), 0), "{health:?}");
    let output = run(&["check"], &settings).await;
    assert_eq!((output.code, output.stdout.contains("found")), (Some(1), false), "{output:?}");
    assert!(output.stderr_lines.last().is_some_and(|sentence| sentence.contains("AWS credentials")), "{output:?}");
    assert!(!format!("{}{output:?}", running.log()).contains("hunt"), "{output:?}");
    (running, simulator)
}

#[tokio::test]
async fn malformed_credentials_of_a_provider_fail_calls_until_corrected() {
    for (key, secret, token, part) in [
        ("any\\n", "any", "any", "access key id"),
        ("any", "hunter2 ", "any", "secret access key"),
        ("any", "any", "hunt\\u00e9r2", "session token"),
    ] {
        let folder = Folder::new("malformed-key");
        let json = |key, secret, token| {
            format!(r#"{{"Version":1,"AccessKeyId":"{key}","SecretAccessKey":"{secret}","SessionToken":"{token}"}}"#)
        };
        let keys = folder.write("keys.json", &json(key, secret, token));
        let config = folder.write("config", &format!("[default]\ncredential_process = cat '{keys}'\n"));
        let words = format!("the {part} of the AWS credentials contains");
        let (running, simulator) = assert_cannot_read(&[("AWS_CONFIG_FILE", &config)], &words).await;
        folder.write("keys.json", &json("any", "any", "any"));
        eventually("it is ready", async || running.log().contains(r#""message":"ready""#)).await;
        assert_eq!(call(&running, 2).await, (Code::Ok, String::new()));
        assert_eq!(simulator.reads(), 1);
    }
}

#[tokio::test]
async fn a_non_ascii_key_in_a_credentials_file_fails_calls() {
    let folder = Folder::new("not-ascii");
    let keys = "[default]\naws_access_key_id = an\u{e9}y\naws_secret_access_key = any\n";
    let file = folder.write("credentials", keys);
    let words = "the access key id of the AWS credentials contains a character that is not ASCII";
    assert_cannot_read(&[("AWS_SHARED_CREDENTIALS_FILE", &file)], words).await;
}

/// The SDK itself signs the AssumeRole request with these keys.
#[tokio::test]
async fn a_malformed_key_behind_an_assumed_role_fails_calls() {
    let folder = Folder::new("role");
    let role = "[default]\nrole_arn = arn:aws:iam::123456789012:role/any\nsource_profile = base\n";
    let keys = "[profile base]\naws_access_key_id = an\u{7f}y\naws_secret_access_key = any\n";
    let config = folder.write("config", &format!("{role}{keys}"));
    let settings = [("AWS_CONFIG_FILE", config.as_str()), ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")];
    let (running, _) = assert_cannot_read(&settings, "no AWS credentials yet").await;
    assert!(running.log().contains("panicked"), "the SDK does not panic: {}", running.log());
}
