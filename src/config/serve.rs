//! The settings of a server: addresses, TLS, clients, limits, shutdown.

use super::{
    effective::EffectiveOptions,
    log::Log,
    service::Service,
    shared_cache::SharedCache,
    value::{NamePattern, address, count, duration, positive_duration},
};
use clap::{Args, ValueEnum};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub const ADMIN_LISTEN: &str = "[::]:9090";

pub const SESSION_REF_KEY_FILE: &str = "File with the key that turns session ids into references for logs; at least 16 bytes, the \
                                        same for all replicas. Create it with `openssl rand -base64 32`";

#[derive(Args, Debug)]
pub struct Serve {
    /// Address of the gRPC port. With port 0 the system chooses one, which is logged.
    #[arg(long, help_heading = "Ports", env = "FACE_LIVENESS_LISTEN", default_value = "[::]:50051", value_name = "ADDRESS", value_parser = address)]
    pub listen: SocketAddr,
    /// Address of the plaintext admin port: /metrics, /livez, /readyz, and gRPC health.
    #[arg(long, help_heading = "Ports", env = "FACE_LIVENESS_ADMIN_LISTEN", default_value = ADMIN_LISTEN, value_name = "ADDRESS", value_parser = address)]
    pub admin_listen: SocketAddr,
    // Before the flattened structs, whose headings hold for all fields that follow.
    /// Validate the configuration, print all problems, and exit.
    #[arg(long)]
    pub validate: bool,
    #[command(flatten)]
    pub server: Server,
    #[command(flatten)]
    pub log: Log,
    #[arg(skip)]
    pub effective: EffectiveOptions,
}

/// A server, without its addresses.
#[derive(Args, Clone, Debug)]
pub struct Server {
    #[command(flatten)]
    pub service: Service,
    #[command(flatten, next_help_heading = "Shared cache")]
    pub shared_cache: SharedCache,
    #[command(flatten, next_help_heading = "TLS")]
    pub tls: Tls,
    #[command(flatten, next_help_heading = "Clients")]
    pub access: Access,
    #[arg(long, help_heading = "Logs", env = "FACE_LIVENESS_SESSION_REF_KEY_FILE", value_name = "FILE", help = SESSION_REF_KEY_FILE.to_owned() + " [default: a random key per process]")]
    pub session_ref_key_file: Option<PathBuf>,
    /// Maximum number of requests in flight, including waits. More are rejected as OVERLOADED.
    #[arg(long, help_heading = "Limits", env = "FACE_LIVENESS_MAX_REQUESTS", default_value_t = 20_000, value_name = "COUNT", value_parser = count)]
    pub max_requests: u32,
    /// Maximum number of open connections. Requests on further ones are rejected as OVERLOADED;
    /// connections far above the limit are closed.
    #[arg(long, help_heading = "Limits", env = "FACE_LIVENESS_MAX_CONNECTIONS", default_value_t = 2_000, value_name = "COUNT", value_parser = count)]
    pub max_connections: u32,
    /// Age at which a connection is drained, ±10 %, so that clients find new replicas; 0s never
    /// drains.
    #[arg(long, help_heading = "Limits", env = "FACE_LIVENESS_MAX_CONNECTION_AGE", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub max_connection_age: Duration,
    /// At shutdown, how long the server accepts requests after it turned NOT_SERVING, so that load
    /// balancers notice.
    #[arg(long, help_heading = "Shutdown", env = "FACE_LIVENESS_DRAIN_DELAY", default_value = "5s", value_name = "DURATION", value_parser = duration)]
    pub drain_delay: Duration,
    /// Time for requests in flight to complete after the drain delay.
    #[arg(long, help_heading = "Shutdown", env = "FACE_LIVENESS_DRAIN_TIMEOUT", default_value = "20s", value_name = "DURATION", value_parser = positive_duration)]
    pub drain_timeout: Duration,
}

/// The certificates of the gRPC port. The port is plaintext without them.
#[derive(Args, Clone, Debug, Default)]
pub struct Tls {
    /// PEM file with the server's certificate chain, reloaded when it changes [default: plaintext]
    #[arg(long, env = "FACE_LIVENESS_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the server's private key.
    #[arg(long, env = "FACE_LIVENESS_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// PEM file with the CAs of client certificates. Clients without a certificate are rejected
    /// (mutual TLS).
    #[arg(long, env = "FACE_LIVENESS_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
}

/// Which clients may call.
#[derive(Args, Clone, Debug, Default)]
pub struct Access {
    /// Names of the clients that may call: SPIFFE ids and DNS names, separated by commas; a
    /// trailing * matches any suffix [default: all]
    #[arg(long, env = "FACE_LIVENESS_ALLOWED_CLIENTS", value_name = "NAMES", value_delimiter = ',')]
    pub allowed_clients: Vec<NamePattern>,
    /// Names of the clients that may request image content [default: all that may call]
    #[arg(long, env = "FACE_LIVENESS_IMAGE_CLIENTS", value_name = "NAMES", value_delimiter = ',')]
    pub image_clients: Vec<NamePattern>,
    /// Source of client names.
    #[arg(long, env = "FACE_LIVENESS_CLIENT_IDENTITY", default_value = "tls", value_enum)]
    pub client_identity: ClientIdentity,
}

/// The source of client names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ClientIdentity {
    /// The client certificate.
    #[default]
    Tls,
    /// The x-forwarded-client-cert header of the sidecar. Only safe if nothing but the sidecar can
    /// reach the port.
    Xfcc,
}

impl Serve {
    /// Returns one sentence for each combination of flags that is invalid.
    pub fn problems(&self) -> Vec<String> {
        let Server { tls, access, .. } = &self.server;
        let half = tls.tls_cert.is_some() != tls.tls_key.is_some();
        let lists = !access.allowed_clients.is_empty() || !access.image_clients.is_empty();
        let (grpc, admin) = (self.listen, self.admin_listen);
        let overlap = grpc.ip() == admin.ip() || grpc.ip().is_unspecified() || admin.ip().is_unspecified();
        let one_port = grpc.port() != 0 && grpc.port() == admin.port() && overlap;
        let nameless = access.client_identity == ClientIdentity::Tls && tls.tls_client_ca.is_none();
        let rules = [
            (
                half,
                "--tls-cert (FACE_LIVENESS_TLS_CERT) and --tls-key (FACE_LIVENESS_TLS_KEY) go together: give both or neither",
            ),
            (
                tls.tls_client_ca.is_some() && tls.tls_cert.is_none() && tls.tls_key.is_none(),
                "--tls-client-ca (FACE_LIVENESS_TLS_CLIENT_CA) needs --tls-cert and --tls-key",
            ),
            (
                lists && nameless,
                "--allowed-clients (FACE_LIVENESS_ALLOWED_CLIENTS) and --image-clients (FACE_LIVENESS_IMAGE_CLIENTS) need \
                 client names: give --tls-client-ca, or --client-identity xfcc behind a sidecar",
            ),
            (
                one_port,
                "--listen (FACE_LIVENESS_LISTEN) and --admin-listen (FACE_LIVENESS_ADMIN_LISTEN) must have different ports",
            ),
        ];
        let rules = rules.into_iter().chain(self.server.shared_cache.rules());
        rules.filter(|(broken, _)| *broken).map(|(_, sentence)| sentence.to_owned()).collect()
    }
}
