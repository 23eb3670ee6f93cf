//! Mutual TLS: three clients by name, and those who fail.

use super::{
    planted::{self, id},
    watched_program::{WatchedProgram, exchange},
};
use crate::{
    certificates::{Authority, Secret, client, dns},
    port::{trusting, with_identity},
    tls::config,
};
use rustls::version::TLS13;
use std::{path::PathBuf, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::ClientTlsConfig;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

pub struct Mutual {
    servers: Authority,
    clients: Authority,
    secret: Secret,
}

impl Mutual {
    pub fn new() -> Self {
        let (servers, clients) = (Authority::new(), Authority::new());
        let secret = Secret::new(&servers.server(), &clients.pem);
        Self { servers, clients, secret }
    }

    /// The program's certificates, and that `checkout` may ask for all, `report` for all but
    /// images, and nobody else.
    pub fn flags(&self) -> Vec<String> {
        let files = self.secret.mutual();
        let path = |file: PathBuf| file.to_str().expect("the path is text").to_owned();
        let files = [
            ("--tls-cert", path(files.cert)),
            ("--tls-key", path(files.key)),
            ("--tls-client-ca", path(files.client_ca.expect("it is mutual"))),
            ("--allowed-clients", "checkout,report".to_owned()),
            ("--image-clients", "checkout".to_owned()),
        ];
        files.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }

    pub fn client(&self, name: &str) -> ClientTlsConfig {
        Self::of(&self.servers, &self.clients, name)
    }

    fn of(servers: &Authority, clients: &Authority, name: &str) -> ClientTlsConfig {
        let mut params = client();
        params.subject_alt_names = vec![dns(name)];
        with_identity(trusting(servers), &clients.issue(params))
    }

    /// A client of another authority, one that wants another server, one without a certificate, and
    /// one without TLS, each with a session's id where it can have one.
    pub async fn fail(&self, watched: &WatchedProgram) {
        let name = format!("{}.shop", id(0x500));
        let stranger = watched.channel(Some(Self::of(&self.servers, &Authority::new(), &name)));
        let end = HealthClient::new(stranger).check(HealthCheckRequest::default()).await;
        watched.received.record_error("", &end.expect_err("it is refused"));
        for name in [name.as_str(), "localhost"] {
            let stream = TcpStream::connect(&watched.running.address).await.expect("it listens");
            let config = Arc::new(config(&self.servers, &TLS13, &[b"h2"]));
            let name = name.to_owned().try_into().expect("it is a DNS name");
            // In TLS 1.3 a client learns last that it was refused.
            TlsConnector::from(config).connect(name, stream).await.ok();
        }
        watched.received.record_bytes(&exchange(&watched.running.address, planted::words(&id(0x501)).as_bytes()).await);
    }
}
