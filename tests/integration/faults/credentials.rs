//! Credentials providers that fail or hang: the program with a profile whose `credential_process`
//! is a script.

use super::matrix::{Cached, Expected, Observed};
use crate::{
    facade::{id, reason, request},
    program::{Running, aws, serve, simulator},
};
use face_liveness_facade::{
    proto::face_liveness_service_client::FaceLivenessServiceClient,
    simulator::{Fault, FaultKind, Pace, Session, Simulator, Status},
};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt, net::TcpListener};
use tonic::{Code, transport::Channel};

const FRESH: &str = r#"echo '{"Version":1,"AccessKeyId":"any","SecretAccessKey":"any"}'"#;

/// A folder with a profile whose provider runs the script `provider`. It is removed when this is
/// dropped.
struct Profile(PathBuf);

impl Profile {
    fn new(name: &str, provider: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the folder is writable");
        let profile = Self(folder);
        profile.set_provider(provider);
        let config = format!("[default]\ncredential_process = sh '{}'\n", profile.file("provider"));
        fs::write(profile.file("config"), config).expect("the folder is writable");
        profile
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("the path is text").to_owned()
    }

    /// Replaces the script. A shell reads its script in parts, so this creates a new file.
    fn set_provider(&self, script: &str) {
        fs::write(self.file("new"), script).expect("the folder is writable");
        fs::rename(self.file("new"), self.file("provider")).expect("both are in one folder");
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

struct Caller {
    running: Running,
    client: FaceLivenessServiceClient<Channel>,
    simulator: Simulator,
}

impl Caller {
    async fn new(timeout: &str, settings: &[(&str, &str)]) -> Self {
        let (simulator, endpoint) = simulator().await;
        for number in [1, 2] {
            simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(number)) });
        }
        let settings = [&aws(&endpoint)[..2], settings].concat();
        let running = serve(&["--upstream-timeout", timeout], &settings);
        let client = running.client().await;
        Self { running, client, simulator }
    }

    async fn call(&mut self, number: u32) -> (Code, String) {
        match self.client.get_liveness_result(request(&id(number))).await {
            Ok(_) => (Code::Ok, String::new()),
            Err(status) => (status.code(), reason(&status)),
        }
    }

    /// Calls before and after `fix`, and returns what the first call gets. If the second call gets
    /// the same, the error was cached.
    async fn observe(&mut self, fault: &str, fix: impl FnOnce(&Simulator)) -> Observed {
        let started = Instant::now();
        let (code, reason) = self.call(1).await;
        let (took, reads) = (started.elapsed(), self.simulator.reads());
        fix(&self.simulator);
        let cached = if self.call(1).await == (code, reason.clone()) { Cached::Error } else { Cached::Nothing };
        let observed = Observed { code, reason, cached, reads, took };
        println!("{fault:56} | {observed}");
        observed
    }

    /// Asserts that a call for another session succeeds, and that the program exits 0.
    async fn assert_recovers(mut self) {
        assert_eq!(self.call(2).await, (Code::Ok, String::new()));
        drop(self.client);
        assert_eq!(self.running.terminate().code(), Some(0));
    }
}

const NO_READ: Expected = Expected { reads: 0, ..super::CREDENTIALS };

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_calls_fail_immediately() {
    let mut caller = Caller::new("1s", &[]).await;
    let observed = caller.observe("no credentials", |_| {}).await;
    assert_eq!(NO_READ.differs(&observed), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_credentials_provider_is_retried_for_the_next_session() {
    let profile = Profile::new("fails", "exit 1");
    let mut caller = Caller::new("1s", &[("AWS_CONFIG_FILE", &profile.file("config"))]).await;
    let observed = caller.observe("a provider that fails", |_| profile.set_provider(FRESH)).await;
    assert_eq!(NO_READ.differs(&observed), None);
    caller.assert_recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credentials_provider_that_hangs_is_upstream_credentials() {
    let profile = Profile::new("hangs", "");
    // Exits when the test removes the folder.
    profile.set_provider(&format!("while [ -e '{}' ]; do sleep 0.1; done", profile.file("config")));
    let mut caller = Caller::new("1s", &[("AWS_CONFIG_FILE", &profile.file("config"))]).await;
    let observed = caller.observe("a provider that hangs", |_| profile.set_provider(FRESH)).await;
    let least = Duration::from_millis(800);
    let hangs = Expected { least, most: least + super::PROCESSING, ..NO_READ };
    assert_eq!(hangs.differs(&observed), None);
    caller.assert_recovers().await;
}

/// The agent of EKS Pod Identity may do this while it restarts.
#[tokio::test(flavor = "multi_thread")]
async fn a_credentials_endpoint_that_hangs_up_is_upstream_credentials() {
    let agent = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = agent.local_addr().expect("a bound socket has an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = agent.accept().await {
            stream.read_u8().await.ok();
            while stream.try_read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
        }
    });
    let address = format!("http://{address}/");
    let mut caller = Caller::new("10s", &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &address)]).await;
    let observed = caller.observe("a provider that closes without a response", |_| {}).await;
    // The SDK retries this provider.
    assert_eq!(Expected { most: Duration::from_secs(10), ..NO_READ }.differs(&observed), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials_are_not_cached() {
    let profile = Profile::new("expired", &FRESH.replace(r#""}"#, r#"","Expiration":"2020-01-01T00:00:00Z"}"#));
    let mut caller = Caller::new("1s", &[("AWS_CONFIG_FILE", &profile.file("config"))]).await;
    let expired = FaultKind::Error { code: "ExpiredTokenException".into(), status: 403, message: None };
    caller.simulator.script(Fault::new(expired));
    let fix = |simulator: &Simulator| {
        simulator.clear_faults();
        profile.set_provider(FRESH);
    };
    let observed = caller.observe("expired credentials of a provider", fix).await;
    // The second read has reloaded credentials.
    assert_eq!(Expected { reads: 2, ..super::CREDENTIALS }.differs(&observed), None);
    caller.assert_recovers().await;
}
