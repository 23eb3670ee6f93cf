//! Mutual TLS: three clients with names, and clients whose handshake fails.

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

    /// Returns flags with the certificates of the program. The client `checkout` may request
    /// everything, `report` everything but images, and other clients nothing.
    pub fn flags(&self) -> Vec<String> {
        let files = self.secret.mutual();
        let path = |file: PathBuf| file.to_str().expect("the path is text").to_owned();
        let files = [
            ("--tls-cert", path(files.cert)),
            ("--tls-key", path(files.key)),
            ("--tls-client-ca", path(files.client_ca.expect("a client CA"))),
            ("--allowed-clients", "checkout,report".to_owned()),
            ("--image-clients", "checkout".to_owned()),
        ];
        files.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }

    pub fn client(&self, name: &str) -> ClientTlsConfig {
        Self::client_of(&self.servers, &self.clients, name)
    }

    fn client_of(servers: &Authority, clients: &Authority, name: &str) -> ClientTlsConfig {
        let mut params = client();
        params.subject_alt_names = vec![dns(name)];
        with_identity(trusting(servers), &clients.issue(params))
    }

    /// Connects as a client of another CA, as one that expects another name, as one without a
    /// certificate, and as one without TLS. Each sends a session id where it can.
    pub async fn fail_handshakes(&self, watched: &WatchedProgram) {
        let name = format!("{}.shop", id(0x500));
        let channel = watched.channel(Some(Self::client_of(&self.servers, &Authority::new(), &name)));
        let result = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        watched.received.record_error("", &result.expect_err("it is rejected"));
        for name in [name.as_str(), "localhost"] {
            let stream = TcpStream::connect(&watched.running.address).await.expect("it listens");
            let config = Arc::new(config(&self.servers, &TLS13, &[b"h2"]));
            let name = name.to_owned().try_into().expect("it is a DNS name");
            // In TLS 1.3 the client completes the handshake before it learns that it is rejected.
            TlsConnector::from(config).connect(name, stream).await.ok();
        }
        watched.received.record_bytes(&exchange(&watched.running.address, planted::words(&id(0x501)).as_bytes()).await);
    }
}
