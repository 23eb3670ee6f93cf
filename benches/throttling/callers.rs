//! Runs four callers per session, as four services would, against the AWS SDK or this service.

use crate::{
    redis::Redis,
    report::Measurement,
    scenario::{Account, Scenario, SessionTimes, Setup},
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

const CALLERS: u32 = 4;
const REPLICAS: u32 = 5;
/// The time between two calls of a caller that polls.
const POLL_PERIOD: Duration = Duration::from_millis(500);
const AWS_LATENCY: Duration = Duration::from_millis(30);
/// When a caller gives up. AWS keeps a session for 180 s.
const GIVE_UP_AFTER: Duration = Duration::from_secs(170);

/// What a caller calls until its session is final.
#[derive(Clone)]
enum Client {
    Sdk(aws_sdk_rekognition::Client),
    Polling(FaceLivenessServiceClient<Channel>),
    Waiting(FaceLivenessServiceClient<Channel>),
}

enum Response {
    Final,
    Pending,
    Failed,
}

/// Runs one scenario. `round` seeds the start of each caller, so that runs of a round are the same.
pub async fn run(scenario: Scenario, account: Account, setup: Setup, round: u64) -> Measurement {
    let config = simulator::Config { quota_tps: account.reads_per_second, latency: AWS_LATENCY, ..Default::default() };
    let simulator = Simulator::new(config);
    let aws = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", aws.local_addr().expect("a bound socket has an address"));
    tokio::spawn(simulator.clone().serve(aws, std::future::pending()));
    let redis = (setup == Setup::WaitingOnSharingReplicas).then(|| Redis::start().ready());
    let clients = clients(setup, &endpoint, account, redis.as_ref()).await;

    let sessions = scenario.sessions(account);
    let measurement = Arc::new(Mutex::new(Measurement::new(scenario, account, setup)));
    let mut random = fastrand::Rng::with_seed(round);
    let mut callers = JoinSet::new();
    let started = Instant::now();
    for (number, times) in (0..).zip(&sessions) {
        for caller in 0..CALLERS {
            // The callers of a session use different replicas.
            let client = clients[(number + caller) as usize % clients.len()].clone();
            let times = *times;
            let (simulator, measurement) = (simulator.clone(), Arc::clone(&measurement));
            // So that callers do not call at the same time.
            let offset = POLL_PERIOD.mul_f64(random.f64());
            callers.spawn(async move {
                tokio::time::sleep_until(started + times.start).await;
                if caller == 0 {
                    simulator.place(session(number, times));
                }
                tokio::time::sleep(offset).await;
                call_until_final(client, &id(number), started + times.end(), &measurement).await;
            });
        }
    }
    callers.join_all().await;
    let mut measurement = measurement.lock().await.clone();
    measurement.sessions = sessions.len() as u64;
    measurement.reads = simulator.reads();
    measurement.throttled = simulator.throttled();
    measurement.reads_of_final = simulator.reads_with_outcome("SUCCEEDED");
    measurement
}

fn id(number: u32) -> String {
    format!("0123abcd-0000-4000-8000-{number:012x}")
}

fn session(number: u32, times: SessionTimes) -> Session {
    Session {
        images: ImageStore::None,
        created_for: Some(times.created_for),
        in_progress_for: Some(times.in_progress_for),
        ..Session::new(id(number))
    }
}

async fn clients(setup: Setup, endpoint: &str, account: Account, redis: Option<&Redis>) -> Vec<Client> {
    let quota = match setup {
        Setup::WaitingWithQuadrupleQuota => account.reads_per_second * 4,
        _ => account.reads_per_second,
    };
    let mut clients = Vec::new();
    let (replicas, count) = match setup {
        Setup::SdkStandard | Setup::SdkAdaptive => (0, CALLERS),
        Setup::Polling | Setup::Waiting | Setup::WaitingWithQuadrupleQuota => (1, CALLERS),
        Setup::WaitingOnSharingReplicas | Setup::WaitingOnSeparateReplicas => (REPLICAS, REPLICAS),
    };
    let mut addresses = Vec::new();
    for _ in 0..replicas {
        addresses.push(facade(endpoint, quota, replicas, redis).await);
    }
    for number in 0..count {
        let connect = async || {
            let address = addresses[number as usize % addresses.len()].clone();
            FaceLivenessServiceClient::connect(address).await.expect("it listens")
        };
        clients.push(match setup {
            Setup::SdkStandard => Client::Sdk(sdk(endpoint, RetryConfig::standard(), account, number)),
            Setup::SdkAdaptive => Client::Sdk(sdk(endpoint, RetryConfig::adaptive(), account, number)),
            Setup::Polling => Client::Polling(connect().await),
            Setup::Waiting
            | Setup::WaitingWithQuadrupleQuota
            | Setup::WaitingOnSharingReplicas
            | Setup::WaitingOnSeparateReplicas => Client::Waiting(connect().await),
        });
    }
    clients
}

/// Creates an SDK client with default settings. The SDK has one retry token bucket per process and
/// region. So each client gets its own region, as if it ran in its own process.
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

/// Starts the service with default settings, and returns its address.
async fn facade(endpoint: &str, quota: u32, replicas: u32, redis: Option<&Redis>) -> String {
    let (quota, replicas) = (quota.to_string(), replicas.to_string());
    let mut flags = ["face-liveness-facade", "serve", "--quota-tps", &quota, "--quota-replicas", &replicas]
        .map(str::to_owned)
        .to_vec();
    if let Some(redis) = redis {
        let key = redis.folder.join("key");
        std::fs::write(&key, BASE64_STANDARD.encode([1; 32])).expect("the folder can be written");
        let [url, key] = [redis.url(), key.display().to_string()];
        flags.extend(["--shared-cache-url".to_owned(), url, "--shared-cache-key-file".to_owned(), key]);
    }
    let Command::Serve(Serve { server: config, .. }) = Cli::parse_from(flags).command else {
        unreachable!("the command is serve");
    };
    let [listener, admin] = [bind().await, bind().await];
    let address = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    let rekognition = Rekognition::at(endpoint, "us-east-1", config.service.upstream_timeout);
    let app = App {
        listener,
        admin,
        tls: None,
        session_refs: SessionRefKey::random(),
        shared_cache: config.shared_cache.settings().expect("valid settings of the shared cache"),
        config,
        rekognition,
    };
    tokio::spawn(app.run(std::future::pending()));
    address
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port")
}

/// Calls until the response is final, and records the delay after the end of the session.
async fn call_until_final(mut client: Client, id: &str, end: Instant, measurement: &Mutex<Measurement>) {
    let give_up = Instant::now() + GIVE_UP_AFTER;
    let mut next = Instant::now();
    while Instant::now() < give_up {
        let response = client.call(id).await;
        let now = Instant::now();
        let mut measurement = measurement.lock().await;
        measurement.calls += 1;
        match response {
            Response::Final => return measurement.delays.push((now - end).as_secs_f64()),
            Response::Failed => measurement.failed += 1,
            Response::Pending => {}
        }
        drop(measurement);
        next = (next + POLL_PERIOD).max(now);
        if !matches!(client, Client::Waiting(_)) {
            tokio::time::sleep_until(next).await;
        }
    }
    measurement.lock().await.gave_up += 1;
}

impl Client {
    async fn call(&mut self, id: &str) -> Response {
        match self {
            Self::Sdk(client) => match client.get_face_liveness_session_results().session_id(id).send().await {
                Ok(output) if output.status.as_str() == "SUCCEEDED" => Response::Final,
                Ok(_) => Response::Pending,
                Err(_) => Response::Failed,
            },
            Self::Polling(client) => call_service(client, id, None).await,
            Self::Waiting(client) => {
                call_service(client, id, Some(prost_types::Duration { seconds: 50, nanos: 0 })).await
            }
        }
    }
}

async fn call_service(
    client: &mut FaceLivenessServiceClient<Channel>,
    id: &str,
    wait: Option<prost_types::Duration>,
) -> Response {
    let request = proto::GetLivenessResultRequest { session_id: id.to_owned(), wait, ..Default::default() };
    match client.get_liveness_result(request).await {
        Ok(response) => match response.into_inner().result.map(|result| result.status()) {
            Some(status) if status.is_terminal() => Response::Final,
            _ => Response::Pending,
        },
        Err(_) => Response::Failed,
    }
}
