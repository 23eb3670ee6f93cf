//! How a server is run: where it listens, who may ask, how much is let in, how it stops.

use super::{
    Log, Service, SharedCache,
    value::{address, count, duration, positive_duration},
};
use crate::{
    client::{Clients, IdentitySource, NamePattern},
    grpc,
    server::tls,
};
use clap::{Args, ValueEnum};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub const ADMIN_LISTEN: &str = "[::]:9090";

pub const SESSION_REF_KEY_FILE: &str = "File with the key of the references that stand for session ids in logs, the same for \
                                        all replicas; 16 bytes at least, such as `openssl rand -base64 32` writes";

#[derive(Args, Debug)]
pub struct Serve {
    /// Address of the gRPC port; port 0 is the system's choice, which the log tells.
    #[arg(long, env = "FACE_LIVENESS_LISTEN", default_value = "[::]:50051", value_name = "ADDRESS", value_parser = address)]
    pub listen: SocketAddr,
    /// Address of the admin port, plaintext: /metrics, /livez, /readyz, and gRPC health.
    #[arg(long, env = "FACE_LIVENESS_ADMIN_LISTEN", default_value = ADMIN_LISTEN, value_name = "ADDRESS", value_parser = address)]
    pub admin_listen: SocketAddr,
    #[command(flatten)]
    pub server: Server,
    #[command(flatten)]
    pub log: Log,
    /// Checks the whole configuration, says what is wrong with it, and starts nothing.
    #[arg(long)]
    pub validate: bool,
}

/// A server, wherever it listens and whatever it asks.
#[derive(Args, Clone, Debug)]
pub struct Server {
    #[command(flatten)]
    pub service: Service,
    #[command(flatten)]
    pub shared_cache: SharedCache,
    #[command(flatten)]
    pub tls: Tls,
    #[command(flatten)]
    pub access: Access,
    #[arg(long, env = "FACE_LIVENESS_SESSION_REF_KEY_FILE", value_name = "FILE", help = SESSION_REF_KEY_FILE.to_owned() + " [default: a key of this process]")]
    pub session_ref_key_file: Option<PathBuf>,
    /// How many requests may be in flight, those that wait included; more are refused as
    /// OVERLOADED.
    #[arg(long, env = "FACE_LIVENESS_MAX_REQUESTS", default_value_t = 20_000, value_name = "COUNT", value_parser = count)]
    pub max_requests: u32,
    /// How many connections may be open; requests on more are refused as OVERLOADED, and far more
    /// are closed.
    #[arg(long, env = "FACE_LIVENESS_MAX_CONNECTIONS", default_value_t = 2_000, value_name = "COUNT", value_parser = count)]
    pub max_connections: u32,
    /// Age at which a connection is asked to end, give or take a tenth, so that clients find new
    /// replicas; 0s: never.
    #[arg(long, env = "FACE_LIVENESS_MAX_CONNECTION_AGE", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub max_connection_age: Duration,
    /// How long the server still takes requests after it has turned NOT_SERVING, so that all who
    /// route to it know.
    #[arg(long, env = "FACE_LIVENESS_DRAIN_DELAY", default_value = "5s", value_name = "DURATION", value_parser = duration)]
    pub drain_delay: Duration,
    /// How long requests in flight may take to end after that.
    #[arg(long, env = "FACE_LIVENESS_DRAIN_TIMEOUT", default_value = "20s", value_name = "DURATION", value_parser = positive_duration)]
    pub drain_timeout: Duration,
}

/// The certificates of the gRPC port. Plaintext without them.
#[derive(Args, Clone, Debug, Default)]
pub struct Tls {
    /// PEM file of the server's certificate and its chain; read again when it changes [default:
    /// plaintext]
    #[arg(long, env = "FACE_LIVENESS_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of its private key.
    #[arg(long, env = "FACE_LIVENESS_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// PEM file of the authorities whose client certificates are let in; nobody is without one
    /// (mutual TLS).
    #[arg(long, env = "FACE_LIVENESS_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
}

/// Who may ask.
#[derive(Args, Clone, Debug, Default)]
pub struct Access {
    /// Names of the clients that may ask: SPIFFE ids and DNS names with commas between; a
    /// trailing * stands for any end [default: all]
    #[arg(long, env = "FACE_LIVENESS_ALLOWED_CLIENTS", value_name = "NAMES", value_delimiter = ',')]
    pub allowed_clients: Vec<NamePattern>,
    /// Names of the clients that may ask for image content [default: all who may ask]
    #[arg(long, env = "FACE_LIVENESS_IMAGE_CLIENTS", value_name = "NAMES", value_delimiter = ',')]
    pub image_clients: Vec<NamePattern>,
    /// Where a client's names are read.
    #[arg(long, env = "FACE_LIVENESS_CLIENT_IDENTITY", default_value = "tls", value_enum)]
    pub client_identity: ClientIdentity,
}

/// Where a client's names are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ClientIdentity {
    /// In its certificate.
    #[default]
    Tls,
    /// In the x-forwarded-client-cert of the sidecar: only where nothing but the sidecar reaches
    /// the port.
    Xfcc,
}

impl From<ClientIdentity> for IdentitySource {
    fn from(identity: ClientIdentity) -> Self {
        match identity {
            ClientIdentity::Tls => Self::Certificate,
            ClientIdentity::Xfcc => Self::ForwardedClientCert,
        }
    }
}

impl Tls {
    /// The files, when the port has TLS. Half a set is [`Serve::problems`]'s matter.
    pub fn files(&self) -> Option<tls::Files> {
        let (cert, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(tls::Files { cert, key, client_ca: self.tls_client_ca.clone() })
    }
}

impl Server {
    /// The settings of the RPC, where `region` is asked.
    pub fn rpc(&self, region: Option<&str>) -> grpc::Settings {
        let Service { min_confidence, images, max_wait, access_log, .. } = self.service;
        grpc::Settings {
            min_confidence,
            images: images.into(),
            max_wait,
            access_log,
            clients: Clients {
                source: self.access.client_identity.into(),
                allowed: self.access.allowed_clients.clone(),
                images: self.access.image_clients.clone(),
            },
            region: region.map(str::to_owned),
        }
    }
}

impl Serve {
    /// What does not go together, in a sentence each.
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
                 to know clients by name: give --tls-client-ca, or --client-identity xfcc behind a sidecar",
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
