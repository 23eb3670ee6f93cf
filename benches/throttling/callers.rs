//! Four callers for every session, as four services would ask: by the SDK, or by this service.

use crate::{
    redis::Redis,
    report::Outcome,
    scenario::{Account, Life, Scenario},
};

use aws_sdk_rekognition::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Parser;
use face_liveness_facade::{
    app::App,
    config::{Cli, Command, Serve},
    proto::{self, face_liveness_service_client::FaceLivenessServiceClient},
    rekognition::Rekognition,
    session::SessionRefKey,
    simulator::{self, ImageStore, Session, Simulator},
};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Mutex, task::JoinSet, time::Instant};
use tonic::transport::Channel;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    SdkStandard,
    SdkAdaptive,
    Polling,
    Waiting,
    /// The service believes in four times what AWS grants: others on the account took the rest.
    WaitingAtFourTimesTheQuota,
    /// Five replicas with a shared cache: callers come to any of them.
    WaitingOnReplicas,
    /// Five replicas with a fifth of the quota each.
    WaitingOnReplicasApart,
}

impl By {
    pub fn name(self) -> &'static str {
        match self {
            Self::SdkStandard => "AWS SDK, standard retries",
            Self::SdkAdaptive => "AWS SDK, adaptive retries",
            Self::Polling => "this service, polling",
            Self::Waiting => "this service, wait",
            Self::WaitingAtFourTimesTheQuota => "this service, wait, others took 3/4",
            Self::WaitingOnReplicas => "five replicas that share, wait",
            Self::WaitingOnReplicasApart => "five replicas apart, wait",
        }
    }
}

const CALLERS: u32 = 4;
const REPLICAS: u32 = 5;
/// Who polls asks twice a second.
const PERIOD: Duration = Duration::from_millis(500);
const AWS_LATENCY: Duration = Duration::from_millis(30);
/// Nobody asks for longer than AWS keeps a session.
const PATIENCE: Duration = Duration::from_secs(170);

/// What one caller asks, until it knows that its session has finished.
#[derive(Clone)]
enum Client {
    Sdk(aws_sdk_rekognition::Client),
    Polling(FaceLivenessServiceClient<Channel>),
    Waiting(FaceLivenessServiceClient<Channel>),
}

enum Said {
    Finished,
    Unfinished,
    Failed,
}

/// `round` seeds when each caller comes, so that another run of the same round meets the same.
pub async fn run(scenario: Scenario, account: Account, by: By, round: u64) -> Outcome {
    let config = simulator::Config { quota_tps: account.reads_per_second, latency: AWS_LATENCY, ..Default::default() };
    let simulator = Simulator::new(config);
    let aws = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", aws.local_addr().expect("a bound socket has an address"));
    tokio::spawn(simulator.clone().serve(aws, std::future::pending()));
    let store = (by == By::WaitingOnReplicas).then(|| Redis::start().ready());
    let clients = clients(by, &endpoint, account, store.as_ref()).await;

    let lives = scenario.lives(account);
    let outcome = Arc::new(Mutex::new(Outcome::new(scenario, account, by)));
    let mut random = fastrand::Rng::with_seed(round);
    let mut callers = JoinSet::new();
    let started = Instant::now();
    for (number, life) in (0..).zip(&lives) {
        for caller in 0..CALLERS {
            // No two callers of a session come to the same replica.
            let client = clients[(number + caller) as usize % clients.len()].clone();
            let life = *life;
            let (simulator, outcome) = (simulator.clone(), Arc::clone(&outcome));
            // Callers do not ask in step.
            let offset = PERIOD.mul_f64(random.f64());
            callers.spawn(async move {
                tokio::time::sleep_until(started + life.begins).await;
                if caller == 0 {
                    simulator.place(session(number, life));
                }
                tokio::time::sleep(offset).await;
                let ends = started + life.ends();
                follow(client, &id(number), ends, &outcome).await;
            });
        }
    }
    callers.join_all().await;
    let mut outcome = outcome.lock().await.clone();
    outcome.sessions = lives.len() as u64;
    outcome.reads = simulator.reads();
    outcome.throttled = simulator.throttled();
    outcome.terminal_reads = simulator.reads_answered("SUCCEEDED");
    outcome
}

fn id(number: u32) -> String {
    format!("0123abcd-0000-4000-8000-{number:012x}")
}

fn session(number: u32, life: Life) -> Session {
    Session {
        images: ImageStore::None,
        created_for: Some(life.created_for),
        in_progress_for: Some(life.in_progress_for),
        ..Session::new(id(number))
    }
}

async fn clients(by: By, endpoint: &str, account: Account, store: Option<&Redis>) -> Vec<Client> {
    let quota = match by {
        By::WaitingAtFourTimesTheQuota => account.reads_per_second * 4,
        _ => account.reads_per_second,
    };
    let mut clients = Vec::new();
    let (replicas, count) = match by {
        By::SdkStandard | By::SdkAdaptive => (0, CALLERS),
        By::Polling | By::Waiting | By::WaitingAtFourTimesTheQuota => (1, CALLERS),
        By::WaitingOnReplicas | By::WaitingOnReplicasApart => (REPLICAS, REPLICAS),
    };
    let mut addresses = Vec::new();
    for _ in 0..replicas {
        addresses.push(facade(endpoint, quota, replicas, store).await);
    }
    for number in 0..count {
        let connect = async || {
            let address = addresses[number as usize % addresses.len()].clone();
            FaceLivenessServiceClient::connect(address).await.expect("it listens")
        };
        clients.push(match by {
            By::SdkStandard => Client::Sdk(sdk(endpoint, RetryConfig::standard(), account, number)),
            By::SdkAdaptive => Client::Sdk(sdk(endpoint, RetryConfig::adaptive(), account, number)),
            By::Polling => Client::Polling(connect().await),
            By::Waiting | By::WaitingAtFourTimesTheQuota | By::WaitingOnReplicas | By::WaitingOnReplicasApart => {
                Client::Waiting(connect().await)
            }
        });
    }
    clients
}

/// The SDK as a team configures it, which is not at all. Its retry token bucket is kept per process
/// and region, so each has a region of its own, as in a process of its own.
fn sdk(endpoint: &str, retries: RetryConfig, account: Account, number: u32) -> aws_sdk_rekognition::Client {
    let config = aws_sdk_rekognition::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(format!(
            "us-{}-{}-{number}",
            account.sessions,
            endpoint.len() + fastrand::usize(..1_000_000)
        )))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("any", "any", None, None, "any"))
        .retry_config(retries)
        .build();
    aws_sdk_rekognition::Client::from_conf(config)
}

/// The service with its defaults, on a port of the system's choice.
async fn facade(endpoint: &str, quota: u32, replicas: u32, store: Option<&Redis>) -> String {
    let (quota, replicas) = (quota.to_string(), replicas.to_string());
    let mut flags = ["face-liveness-facade", "serve", "--quota-tps", &quota, "--quota-replicas", &replicas]
        .map(str::to_owned)
        .to_vec();
    if let Some(store) = store {
        let key = store.folder.join("key");
        std::fs::write(&key, BASE64_STANDARD.encode([1; 32])).expect("the folder can be written");
        let [url, key] = [store.url(), key.display().to_string()];
        flags.extend(["--shared-cache-url".to_owned(), url, "--shared-cache-key-file".to_owned(), key]);
    }
    let Command::Serve(Serve { server: config, .. }) = Cli::parse_from(flags).command else {
        unreachable!("serve was asked for");
    };
    let [listener, admin] = [bind().await, bind().await];
    let address = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    let rekognition = Rekognition::at(endpoint, "us-east-1", config.service.upstream_timeout);
    let app = App {
        listener,
        admin,
        tls: None,
        session_refs: SessionRefKey::random(),
        shared_cache: config.shared_cache.settings().expect("a sound shared cache"),
        config,
        rekognition,
    };
    tokio::spawn(app.run(std::future::pending()));
    address
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port")
}

/// Asks until the session is known to have finished, and notes how late that was.
async fn follow(mut client: Client, id: &str, ends: Instant, outcome: &Mutex<Outcome>) {
    let give_up = Instant::now() + PATIENCE;
    let mut next = Instant::now();
    while Instant::now() < give_up {
        let said = client.ask(id).await;
        let now = Instant::now();
        let mut outcome = outcome.lock().await;
        outcome.calls += 1;
        match said {
            Said::Finished => return outcome.delays.push((now - ends).as_secs_f64()),
            Said::Failed => outcome.failed += 1,
            Said::Unfinished => {}
        }
        drop(outcome);
        next = (next + PERIOD).max(now);
        if !matches!(client, Client::Waiting(_)) {
            tokio::time::sleep_until(next).await;
        }
    }
    outcome.lock().await.never += 1;
}

impl Client {
    async fn ask(&mut self, id: &str) -> Said {
        match self {
            Self::Sdk(client) => match client.get_face_liveness_session_results().session_id(id).send().await {
                Ok(answer) if answer.status.as_str() == "SUCCEEDED" => Said::Finished,
                Ok(_) => Said::Unfinished,
                Err(_) => Said::Failed,
            },
            Self::Polling(client) => ask_service(client, id, None).await,
            Self::Waiting(client) => {
                ask_service(client, id, Some(prost_types::Duration { seconds: 50, nanos: 0 })).await
            }
        }
    }
}

async fn ask_service(
    client: &mut FaceLivenessServiceClient<Channel>,
    id: &str,
    wait: Option<prost_types::Duration>,
) -> Said {
    let request = proto::GetLivenessResultRequest { session_id: id.to_owned(), wait, ..Default::default() };
    match client.get_liveness_result(request).await {
        Ok(answer) => match answer.into_inner().result.map(|result| result.status()) {
            Some(status) if status.is_terminal() => Said::Finished,
            _ => Said::Unfinished,
        },
        Err(_) => Said::Failed,
    }
}
