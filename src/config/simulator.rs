//! The settings of the commands that come with the simulator.

use super::{
    Access, Log, Server, Service, SharedCache, Tls,
    value::{address, duration},
};
use clap::Args;
use std::{net::SocketAddr, time::Duration};

#[derive(Args, Debug)]
pub struct Demo {
    /// Address of the gRPC port; port 0 is the system's choice.
    #[arg(long, default_value = "127.0.0.1:50051", value_name = "ADDRESS", value_parser = address)]
    pub listen: SocketAddr,
    /// Address of the admin port; the system's choice unless given, since a laptop may have a
    /// Prometheus on the usual one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS", value_parser = address)]
    pub admin_listen: SocketAddr,
    #[command(flatten)]
    pub service: Service,
}

impl Demo {
    /// A server on a laptop: for everybody, in plaintext, and nobody waits for its end.
    pub fn server(self) -> Server {
        Server {
            service: self.service,
            shared_cache: SharedCache::default(),
            tls: Tls::default(),
            access: Access::default(),
            session_ref_key_file: None,
            max_requests: 1_000,
            max_connections: 1_000,
            max_connection_age: Duration::ZERO,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(1),
        }
    }
}

#[derive(Args, Debug)]
pub struct Simulate {
    /// Address of the HTTP port; port 0 is the system's choice.
    #[arg(long, default_value = "127.0.0.1:4580", value_name = "ADDRESS", value_parser = address)]
    pub listen: SocketAddr,
    /// Reads and creations a second, each; beyond it AWS's ThrottlingException. 0 never throttles.
    #[arg(long, default_value_t = 25, value_name = "RATE", value_parser = rate)]
    pub quota_tps: u32,
    /// How long each answer takes.
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = duration)]
    pub latency: Duration,
    /// How long a session stays CREATED.
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = duration)]
    pub created_for: Duration,
    /// How long a session stays IN_PROGRESS.
    #[arg(long, default_value = "8s", value_name = "DURATION", value_parser = duration)]
    pub in_progress_for: Duration,
    /// When a session is forgotten, from its creation on.
    #[arg(long, default_value = "3m", value_name = "DURATION", value_parser = duration)]
    pub gone_after: Duration,
    /// How many times faster than real time sessions live.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = speed)]
    pub speed: f64,
    #[command(flatten)]
    pub log: Log,
}

fn rate(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "must be a whole number")
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().map_err(|_| "must be a number".to_owned())?;
    if (0.01..=1000.0).contains(&speed) { Ok(speed) } else { Err("must be from 0.01 to 1000".to_owned()) }
}
