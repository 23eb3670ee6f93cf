//! Credentials that AWS rejects before they expire.

use super::{AwsRead, aws, call, error};
use crate::{
    admin,
    configuration::Folder,
    facade::{eventually, within},
    program::{self, Running, serve},
};
use axum::response::Response;
use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// An AWS that accepts one access key.
#[derive(Clone)]
struct Aws {
    accepted: Arc<Mutex<&'static str>>,
    code: &'static str,
    reads: Arc<AtomicU32>,
}

impl Aws {
    fn new(code: &'static str) -> Self {
        Self { accepted: Arc::new(Mutex::new("old")), code, reads: Arc::default() }
    }

    fn accept(&self, key: &'static str) {
        *self.accepted.lock().expect("no thread panics under this lock") = key;
    }

    fn reads(&self) -> u32 {
        self.reads.load(Ordering::SeqCst)
    }

    fn respond(&self, read: &AwsRead) -> Response {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let accepted = *self.accepted.lock().expect("no thread panics under this lock");
        if read.access_key_id == accepted { read.succeed() } else { error(403, self.code) }
    }

    /// Starts the program with these AWS settings. Returns it when it is ready.
    async fn start(&self, settings: &[(&str, &str)]) -> Running {
        let aws_itself = self.clone();
        let endpoint = aws(move |read| aws_itself.respond(read)).await;
        let settings = [&program::aws(&endpoint)[..2], settings].concat();
        let running = serve(&["--quota-tps", "0"], &settings);
        eventually("it is ready", async || is_ready(&running).await).await;
        running
    }
}

async fn is_ready(running: &Running) -> bool {
    admin::get(&running.admin_address, "/readyz").await.0 == 200
}

/// Returns a shared credentials file.
fn keys(key: &str) -> String {
    format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = any\n")
}

/// Returns a script for `credential_process` that returns this key, and counts its runs.
fn script(folder: &Folder, key: &str) -> String {
    let runs = folder.path("runs");
    format!("echo >>'{runs}'\necho '{{\"Version\":1,\"AccessKeyId\":\"{key}\",\"SecretAccessKey\":\"any\"}}'\n")
}

/// Writes the script of a `credential_process`, and returns the path of the profile's file.
fn process(folder: &Folder, script: &str) -> String {
    let provider = folder.write("provider", script);
    folder.write("config", &format!("[default]\ncredential_process = sh '{provider}'\n"))
}

#[tokio::test]
async fn a_replaced_credentials_file_is_loaded_when_aws_rejects_the_old_keys() {
    for code in ["ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"] {
        let (folder, aws) = (Folder::new(code), Aws::new(code));
        let file = folder.write("credentials", &keys("old"));
        let running = aws.start(&[("AWS_SHARED_CREDENTIALS_FILE", &file)]).await;
        assert_eq!(call(&running, 1).await.map(drop), Ok(()), "{code}");
        folder.write("credentials", &keys("new"));
        aws.accept("new");
        assert_eq!(call(&running, 2).await.map(drop), Ok(()), "{code}: the keys are reloaded");
        assert_eq!(call(&running, 3).await.map(drop), Ok(()), "{code}");
        assert_eq!((aws.reads(), is_ready(&running).await), (4, true), "{code}: one read was rejected");
    }
}

#[tokio::test]
async fn a_credential_process_without_expiry_runs_again_when_aws_rejects_its_keys() {
    let (folder, aws) = (Folder::new("process"), Aws::new("InvalidClientTokenId"));
    let running = aws.start(&[("AWS_CONFIG_FILE", &process(&folder, &script(&folder, "old")))]).await;
    assert_eq!(call(&running, 1).await.map(drop), Ok(()));
    folder.write("provider", &script(&folder, "new"));
    aws.accept("new");
    assert_eq!(call(&running, 2).await.map(drop), Ok(()));
    assert_eq!((aws.reads(), is_ready(&running).await), (3, true));
}

#[tokio::test]
async fn a_credentials_file_that_appears_after_the_start_makes_the_replica_ready() {
    let (folder, aws) = (Folder::new("appears"), Aws::new("ExpiredTokenException"));
    let aws_itself = aws.clone();
    let endpoint = super::aws(move |read| aws_itself.respond(read)).await;
    let file = folder.path("credentials");
    let settings = [&program::aws(&endpoint)[..2], &[("AWS_SHARED_CREDENTIALS_FILE", file.as_str())]].concat();
    let running = serve(&[], &settings);
    eventually("the replica has no keys", async || running.log().contains("no AWS credentials yet")).await;
    folder.write("credentials", &keys("old"));
    eventually("it is ready", async || is_ready(&running).await).await;
    assert_eq!(call(&running, 1).await.map(drop), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_credentials_are_reloaded_once_in_seconds_and_a_replica_without_valid_ones_is_not_ready() {
    let (folder, aws) = (Folder::new("rejected"), Aws::new("ExpiredTokenException"));
    let running = aws.start(&[("AWS_CONFIG_FILE", &process(&folder, &script(&folder, "old")))]).await;
    assert_eq!(call(&running, 1).await.map(drop), Ok(()));
    let runs = || fs::read_to_string(folder.path("runs")).expect("the provider has run").len();
    let runs_before = runs();
    aws.accept("new");
    let calls = (2..22).map(|number| call(&running, number));
    for called in futures_util::future::join_all(calls).await {
        assert_eq!(called.map(drop), Err("UPSTREAM_CREDENTIALS".to_owned()));
    }
    assert!(runs() - runs_before <= 2, "the provider ran {} times", runs() - runs_before);
    assert!(aws.reads() <= 45, "each read is retried once: {}", aws.reads());
    eventually("it is not ready", async || !is_ready(&running).await).await;
    folder.write("provider", &script(&folder, "new"));
    within(Duration::from_secs(20), "it is ready again", async || is_ready(&running).await).await;
    assert_eq!(call(&running, 30).await.map(drop), Ok(()));
}

#[tokio::test]
async fn a_reload_that_fails_keeps_the_keys() {
    let (folder, aws) = (Folder::new("fails"), Aws::new("ExpiredTokenException"));
    let rejects_once = AtomicU32::new(0);
    let endpoint = super::aws(move |read| match rejects_once.fetch_add(1, Ordering::SeqCst) {
        1 => error(403, "ExpiredTokenException"),
        _ => aws.respond(read),
    })
    .await;
    let config = process(&folder, &script(&folder, "old"));
    let settings = [&program::aws(&endpoint)[..2], &[("AWS_CONFIG_FILE", config.as_str())]].concat();
    let running = serve(&[], &settings);
    assert_eq!(call(&running, 1).await.map(drop), Ok(()));
    folder.write("provider", "exit 1");
    assert_eq!(call(&running, 2).await.map(drop), Ok(()), "the keys are still valid");
}

#[tokio::test]
async fn a_replica_whose_expired_credentials_cannot_be_refreshed_is_not_ready() {
    let (folder, aws) = (Folder::new("expired-keys"), Aws::new("ExpiredTokenException"));
    let expired = script(&folder, "old").replace(r#""}'"#, r#"","Expiration":"2020-01-01T00:00:00Z"}'"#);
    let running = aws.start(&[("AWS_CONFIG_FILE", &process(&folder, &expired))]).await;
    assert_eq!(call(&running, 1).await.map(drop), Ok(()));
    folder.write("provider", "exit 1");
    assert_eq!(call(&running, 2).await.map(drop), Err("UPSTREAM_CREDENTIALS".to_owned()));
    eventually("it is not ready", async || !is_ready(&running).await).await;
    folder.write("provider", &script(&folder, "old"));
    within(Duration::from_secs(20), "it is ready again", async || is_ready(&running).await).await;
    assert_eq!(call(&running, 3).await.map(drop), Ok(()));
}
