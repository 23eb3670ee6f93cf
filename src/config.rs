//! Every flag, variable and default in the program, parsed into types before anything starts.
//!
//! A flag wins over its variable, and that over the default. AWS's own settings stay with AWS's
//! variables. No sibling's logic is here.

mod environment;
mod names;
mod read;
mod serve;
mod service;
mod shared_cache;
#[cfg(feature = "simulator")]
mod simulator;
mod value;

pub use read::{Parsed, read};
pub use serve::{Access, ClientIdentity, Serve, Server, Tls};
pub use service::{Images, QuotaTps, Service};
pub use shared_cache::SharedCache;
#[cfg(feature = "simulator")]
pub use simulator::{Demo, Simulate};

use crate::telemetry;
use clap::{Args, Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// One typed, cached gRPC call in front of Amazon Rekognition Face Liveness.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110, args_override_self = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, once")]
pub enum Command {
    /// Runs the service, against AWS or any endpoint in AWS_ENDPOINT_URL_REKOGNITION.
    ///
    /// Region, credentials, proxy and endpoint come from AWS's standard variables, profiles and
    /// roles; traces go to OTEL_EXPORTER_OTLP_ENDPOINT when it is set.
    Serve(Serve),
    /// Runs the service and a simulated Rekognition on this machine, and prints lines to paste.
    ///
    /// Needs neither an AWS account nor anything else.
    #[cfg(feature = "simulator")]
    #[command(mut_arg("access_log", |arg| arg.default_value("all")))]
    #[command(mut_arg("upstream_timeout", |arg| arg.default_value("1s")))]
    #[command(mut_arg("quota_tps", |arg| arg.default_value("0")))]
    Demo(Demo),
    /// Runs the simulated Rekognition alone, for any AWS SDK.
    #[cfg(feature = "simulator")]
    Simulate(Simulate),
    /// Proves credentials, region and permission with one read of an invented session, and says
    /// what to mend.
    ///
    /// Takes AWS's settings from where `serve` takes them. Exits 0 when a read is possible, and 1
    /// when it is not.
    Check(Check),
    /// Asks a running server for its health: exits 0 when it is serving, and 1 when it is not.
    Health(Health),
    /// Prints what stands for a session id in the logs of the servers that have this key.
    SessionRef(SessionRef),
}

#[derive(Args, Debug)]
pub struct Check {
    /// How long the read may take, credentials and connection included.
    #[arg(long, env = "FACE_LIVENESS_UPSTREAM_TIMEOUT", default_value = "5s", value_name = "DURATION", value_parser = value::positive_duration)]
    pub upstream_timeout: Duration,
}

#[derive(Args, Debug)]
pub struct Health {
    /// Where the server listens for plaintext gRPC: its admin port, or its gRPC port without TLS.
    /// [default: the port of FACE_LIVENESS_ADMIN_LISTEN, or 9090, of this machine]
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    #[arg(long, hide = true, env = "FACE_LIVENESS_ADMIN_LISTEN", default_value = serve::ADMIN_LISTEN, value_parser = value::address)]
    pub admin_listen: SocketAddr,
    /// The service that is asked for; "" stands for the process.
    #[arg(long, default_value = crate::proto::GET_LIVENESS_RESULT.service, value_name = "NAME")]
    pub service: String,
    /// How long the answer may take.
    #[arg(long, default_value = "3s", value_name = "DURATION", value_parser = value::positive_duration)]
    pub timeout: Duration,
}

#[derive(Args, Debug)]
pub struct SessionRef {
    /// The session id; read from standard input when it is "-", so that it stays out of the shell's
    /// history.
    #[arg(value_name = "SESSION_ID")]
    pub session_id: String,
    #[arg(long, env = "FACE_LIVENESS_SESSION_REF_KEY_FILE", value_name = "FILE", help = serve::SESSION_REF_KEY_FILE)]
    pub session_ref_key_file: PathBuf,
}

#[derive(Args, Debug)]
pub struct Log {
    /// [default: text on a terminal, else json]
    #[arg(long, env = "FACE_LIVENESS_LOG_FORMAT", value_enum)]
    pub log_format: Option<telemetry::Format>,
    /// How much is logged; libraries log at most at info.
    #[arg(long, env = "FACE_LIVENESS_LOG_LEVEL", default_value = "info", value_enum)]
    pub log_level: telemetry::Level,
}

#[cfg(test)]
mod tests;
