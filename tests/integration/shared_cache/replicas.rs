//! Replicas of the service with one simulated AWS and one Redis.

use crate::{
    facade::{Facade, eventually},
    redis::Redis,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use face_liveness_facade::simulator::{self, Pace, Session, Simulator, Status};
use std::fs;
use tokio::net::TcpListener;

pub struct Replicas {
    pub simulator: Simulator,
    /// The endpoint of the simulated AWS.
    pub endpoint: String,
    pub redis: Redis,
    pub all: Vec<Facade>,
}

impl Replicas {
    /// Starts replicas with these flags, and waits until their shared cache is up.
    pub async fn start(count: usize, flags: &[&str]) -> Self {
        Self::with(count, flags, simulator::Config::default(), Redis::start().ready()).await
    }

    pub async fn with(count: usize, flags: &[&str], config: simulator::Config, redis: Redis) -> Self {
        let aws = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let endpoint = format!("http://{}", aws.local_addr().expect("a bound socket has an address"));
        let simulator = Simulator::new(config);
        tokio::spawn(simulator.clone().serve(aws, std::future::pending()));
        fs::write(redis.folder.join("key"), key_line(1)).expect("the folder is writable");
        let mut replicas = Self { simulator, endpoint, redis, all: Vec::new() };
        for _ in 0..count {
            replicas.add(flags).await;
        }
        replicas
    }

    /// Adds a replica with these flags, and waits until its shared cache is up.
    pub async fn add(&mut self, flags: &[&str]) {
        let (url, key) = (self.redis.url(), self.redis.folder.join("key").display().to_string());
        let own = ["--shared-cache-url", &url, "--shared-cache-key-file", &key, "--shared-cache-timeout", "1s"];
        let facade = Facade::with_endpoint(&self.endpoint, self.simulator.clone(), &[&own[..], flags].concat()).await;
        wait_until_up(&facade).await;
        self.all.push(facade);
    }

    /// Replaces all replicas with new ones that have these flags.
    pub async fn restart(&mut self, flags: &[&str]) {
        for mut facade in std::mem::take(&mut self.all) {
            facade.stop().await;
            self.add(flags).await;
        }
    }
}

/// Waits until the shared cache of the replica is up.
pub async fn wait_until_up(facade: &Facade) {
    eventually("the shared cache is up", async || facade.metric("face_liveness_shared_cache_up").await == 1.0).await;
}

/// Returns a line of a key file.
pub fn key_line(key: u8) -> String {
    BASE64_STANDARD.encode([key; 32]) + "\n"
}

/// Returns a session that has succeeded.
pub fn succeeded(id: String) -> Session {
    Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id) }
}
