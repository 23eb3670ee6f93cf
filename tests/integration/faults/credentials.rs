//! Credentials whose provider fails, hangs or is late: the real program, with a profile whose
//! `credential_process` is a script.

use super::matrix::{Cached, Expected, Seen};
use crate::{
    facade::{id, reason, request},
    program::{Running, serve, simulator},
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

/// A home with a profile whose provider runs the file `provider`, removed with the test.
struct Home(PathBuf);

impl Home {
    fn new(name: &str, provider: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of this test");
        let home = Self(folder);
        home.provides(provider);
        let profile = format!("[default]\ncredential_process = sh '{}'\n", home.file("provider"));
        fs::write(home.file("config"), profile).expect("a file of this test");
        home
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("the path is text").to_owned()
    }

    /// From now on the provider does so. A shell reads its script bit by bit: the file is a new
    /// one.
    fn provides(&self, script: &str) {
        fs::write(self.file("new"), script).expect("a file of this test");
        fs::rename(self.file("new"), self.file("provider")).expect("the same folder");
    }
}

impl Drop for Home {
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
        let settings =
            [&[("AWS_ENDPOINT_URL_REKOGNITION", &*endpoint), ("AWS_REGION", "us-east-1")], settings].concat();
        let running = serve(&["--upstream-timeout", timeout], &settings);
        let client = FaceLivenessServiceClient::connect(format!("http://{}", running.address)).await;
        Self { running, client: client.expect("it listens"), simulator }
    }

    async fn ask(&mut self, number: u32) -> (Code, String) {
        match self.client.get_liveness_result(request(&id(number))).await {
            Ok(_) => (Code::Ok, String::new()),
            Err(status) => (status.code(), reason(&status)),
        }
    }

    /// What the first caller gets, and whether the next one gets it too though the trouble has been
    /// `mended` since.
    async fn sees(&mut self, fault: &str, mended: impl FnOnce(&Simulator)) -> Seen {
        let asked = Instant::now();
        let (code, reason) = self.ask(1).await;
        let (took, reads) = (asked.elapsed(), self.simulator.reads());
        mended(&self.simulator);
        let cached = if self.ask(1).await == (code, reason.clone()) { Cached::Error } else { Cached::Nothing };
        let seen = Seen { code, reason, cached, reads, took };
        println!("{fault:56} | {seen}");
        seen
    }

    /// Another session is answered, and the program ends as it should.
    async fn recovers(mut self) {
        assert_eq!(self.ask(2).await, (Code::Ok, String::new()));
        drop(self.client);
        assert_eq!(self.running.terminate().code(), Some(0));
    }
}

const NO_READ: Expected = Expected { reads: 0, ..super::CREDENTIALS };

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_a_caller_is_told_so_at_once() {
    let mut caller = Caller::new("1s", &[]).await;
    let seen = caller.sees("no credentials", |_| {}).await;
    assert_eq!(NO_READ.differs(&seen), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_is_asked_again_for_the_next_session() {
    let home = Home::new("fails", "exit 1");
    let mut caller = Caller::new("1s", &[("AWS_CONFIG_FILE", &home.file("config"))]).await;
    let seen = caller.sees("a provider that fails", |_| home.provides(FRESH)).await;
    assert_eq!(NO_READ.differs(&seen), None);
    caller.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_is_told_from_an_aws_that_does() {
    let home = Home::new("hangs", "");
    // Until the test is over, and not a second longer.
    home.provides(&format!("while [ -e '{}' ]; do sleep 0.1; done", home.file("config")));
    let mut caller = Caller::new("1s", &[("AWS_CONFIG_FILE", &home.file("config"))]).await;
    let seen = caller.sees("a provider that hangs", |_| home.provides(FRESH)).await;
    let least = Duration::from_millis(800);
    let hangs = Expected { least, most: least + super::WORK, ..NO_READ };
    assert_eq!(hangs.differs(&seen), None);
    caller.recovers().await;
}

/// As the agent of EKS Pod Identity may, when it is just going away.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_closes_without_an_answer_is_no_trouble_of_the_network() {
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
    let seen = caller.sees("a provider that closes without an answer", |_| {}).await;
    // It has retries of its own.
    assert_eq!(Expected { most: Duration::from_secs(10), ..NO_READ }.differs(&seen), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_have_expired_are_not_kept() {
    let home = Home::new("expired", &FRESH.replace(r#""}"#, r#"","Expiration":"2020-01-01T00:00:00Z"}"#));
    let mut caller = Caller::new("1s", &[("AWS_CONFIG_FILE", &home.file("config"))]).await;
    let expired = FaultKind::Error { code: "ExpiredTokenException".into(), status: 403, message: None };
    caller.simulator.script(Fault::new(expired));
    let mended = |simulator: &Simulator| {
        simulator.clear_faults();
        home.provides(FRESH);
    };
    let seen = caller.sees("expired credentials of a provider", mended).await;
    assert_eq!(super::CREDENTIALS.differs(&seen), None);
    caller.recovers().await;
}
