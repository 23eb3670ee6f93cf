//! The settings of the commands `demo` and `simulate`.

use super::{
    log::Log,
    serve::{Access, Server, Tls},
    service::Service,
    shared_cache::SharedCache,
    value::{address, duration},
};
use clap::Args;
use std::{net::SocketAddr, time::Duration};

#[derive(Args, Debug)]
pub struct Demo {
    /// Address of the gRPC port. With port 0 the system chooses one.
    #[arg(long, help_heading = "Ports", default_value = "127.0.0.1:50051", value_name = "ADDRESS", value_parser = address)]
    pub listen: SocketAddr,
    /// Address of the admin port. By default the system chooses it, since a Prometheus may use
    /// 9090.
    #[arg(long, help_heading = "Ports", default_value = "127.0.0.1:0", value_name = "ADDRESS", value_parser = address)]
    pub admin_listen: SocketAddr,
    #[command(flatten)]
    pub service: Service,
}

impl Demo {
    /// Returns the settings of a server on a laptop: plaintext, all clients, no drain delay.
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
    /// Address of the HTTP port. With port 0 the system chooses one.
    #[arg(long, help_heading = "Ports", default_value = "127.0.0.1:4580", value_name = "ADDRESS", value_parser = address)]
    pub listen: SocketAddr,
    /// Quota of each operation per second, above which the simulator throttles as AWS does; 0:
    /// unlimited.
    #[arg(long, help_heading = "Simulated AWS", default_value_t = 25, value_name = "RATE", value_parser = rate)]
    pub quota_tps: u32,
    /// Latency of each response.
    #[arg(long, help_heading = "Simulated AWS", default_value = "0s", value_name = "DURATION", value_parser = duration)]
    pub latency: Duration,
    /// How long a session stays CREATED.
    #[arg(long, help_heading = "Simulated AWS", default_value = "5s", value_name = "DURATION", value_parser = duration)]
    pub created_for: Duration,
    /// How long a session stays IN_PROGRESS.
    #[arg(long, help_heading = "Simulated AWS", default_value = "8s", value_name = "DURATION", value_parser = duration)]
    pub in_progress_for: Duration,
    /// Age at which a session is deleted.
    #[arg(long, help_heading = "Simulated AWS", default_value = "3m", value_name = "DURATION", value_parser = duration)]
    pub gone_after: Duration,
    /// Speed of session time relative to real time.
    #[arg(long, help_heading = "Simulated AWS", default_value_t = 1.0, value_name = "FACTOR", value_parser = speed)]
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
