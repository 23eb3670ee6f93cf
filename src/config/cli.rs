//! The command line: the commands, and the flags of the small ones.

#[cfg(feature = "simulator")]
use super::simulator::{Demo, Simulate};
use super::{
    serve::{self, Serve},
    shared_cache::SharedCache,
    value,
};
use clap::{Args, Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// The end of the help of each command. src/main.rs and src/process.rs exit with these codes.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    The command succeeded, or the server shut down gracefully
  1    The command failed, or the server could not start or failed later; standard error has one sentence
  64   The configuration is invalid; standard error has one sentence for each problem
  130  A second signal ended the server at once";

/// One typed, cached gRPC call in front of Amazon Rekognition Face Liveness.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110, args_override_self = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "the process has one value of this type")]
pub enum Command {
    /// Runs the service. It reads from AWS, or from the endpoint in AWS_ENDPOINT_URL_REKOGNITION.
    ///
    /// Region, credentials, proxy and endpoint come from AWS's standard variables, profiles and
    /// roles. If OTEL_EXPORTER_OTLP_ENDPOINT is set, traces are sent there.
    Serve(Serve),
    /// Runs the service with a simulated Rekognition, and prints example calls.
    ///
    /// Needs no AWS account.
    #[cfg(feature = "simulator")]
    #[command(mut_arg("access_log", |arg| arg.default_value("all")))]
    #[command(mut_arg("upstream_timeout", |arg| arg.default_value("1s")))]
    #[command(mut_arg("quota_tps", |arg| arg.default_value("0")))]
    Demo(Demo),
    /// Runs the simulated Rekognition alone, for any AWS SDK.
    ///
    /// Below the options: the outcomes of sessions, the faults, and the HTTP interface for tests.
    #[cfg(feature = "simulator")]
    #[command(after_long_help = format!("{}\n{EXIT_CODES}", face_liveness_simulator::HELP))]
    Simulate(Simulate),
    /// Checks credentials, region and permission with one read of a random session id, and the
    /// shared cache and a running server if there are any. Prints what to fix.
    ///
    /// Uses the same settings as `serve`. Exits 0 if all of them work, and 1 if not.
    Check(Check),
    /// Checks the health of a running server. Exits 0 if it is serving, and 1 if not.
    Health(Health),
    /// Prints the reference of a session id in the logs of servers with this key.
    SessionRef(SessionRef),
    /// Prints the contract and the details of its errors as a binary FileDescriptorSet, for proxies
    /// that translate JSON.
    DescriptorSet,
}

#[derive(Args, Debug)]
pub struct Check {
    /// Address of a running server, to check its health too: the admin port, or the gRPC port
    /// without TLS. Tries to connect for 5 s [default: no server]
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// Timeout of the read, including credentials and connection, and of the health check.
    #[arg(long, env = "FACE_LIVENESS_UPSTREAM_TIMEOUT", default_value = "5s", value_name = "DURATION", value_parser = value::positive_duration)]
    pub upstream_timeout: Duration,
    #[command(flatten, next_help_heading = "Shared cache")]
    pub shared_cache: SharedCache,
}

#[derive(Args, Debug)]
pub struct Health {
    /// Address of a plaintext gRPC port of the server: the admin port, or the gRPC port without
    /// TLS [default: this machine, port of FACE_LIVENESS_ADMIN_LISTEN or 9090]
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    #[arg(long, hide = true, env = "FACE_LIVENESS_ADMIN_LISTEN", default_value = serve::ADMIN_LISTEN, value_parser = value::address)]
    pub admin_listen: SocketAddr,
    /// Name of the service to check; "" is the process.
    #[arg(long, default_value = "faceliveness.v1.FaceLivenessService", value_name = "NAME")]
    pub service: String,
    /// Timeout of the check.
    #[arg(long, default_value = "3s", value_name = "DURATION", value_parser = value::positive_duration)]
    pub timeout: Duration,
}

#[derive(Args, Debug)]
pub struct SessionRef {
    /// Session id, or "-" to read it from standard input, which keeps it out of the shell's
    /// history.
    #[arg(value_name = "SESSION_ID")]
    pub session_id: String,
    #[arg(long, env = "FACE_LIVENESS_SESSION_REF_KEY_FILE", value_name = "FILE", help = serve::SESSION_REF_KEY_FILE)]
    pub session_ref_key_file: PathBuf,
}
