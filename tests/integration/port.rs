//! A port with the connection handling of the service, and tonic's health service behind it.

use crate::certificates::{Authority, Issued};
use face_liveness_facade::{
    client::{Peer, ShareLimits, Shares},
    server::{
        incoming::{Connections, Incoming, Limits, Protocol},
        tls::Tls,
    },
    telemetry::metrics::Registry,
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tonic::{
    Request, Status,
    service::interceptor::InterceptedService,
    transport::{Certificate, Channel, ClientTlsConfig, Identity, Server},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

pub struct Port {
    pub address: SocketAddr,
    pub connections: Connections,
    peers: Arc<Mutex<Vec<Arc<Peer>>>>,
    _server: JoinSet<()>,
}

impl Port {
    pub async fn open(tls: Option<Tls>, limits: Limits) -> Self {
        Self::with(tls, limits, Protocol::Http2, Server::builder()).await
    }

    pub async fn with(tls: Option<Tls>, limits: Limits, protocol: Protocol, mut server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shares = Shares::new(ShareLimits { requests: 1, image_budget: 1 }, &[], &Registry::default());
        let incoming = Incoming::new(listener, tls, protocol, limits, shares);
        let connections = incoming.connections();
        let peers: Arc<Mutex<Vec<Arc<Peer>>>> = Arc::default();
        let recorded = Arc::clone(&peers);
        let record_peer = move |request: Request<()>| {
            let peer = request.extensions().get::<Arc<Peer>>().expect("every request has its peer");
            recorded.lock().expect("no thread panics while holding the lock").push(Arc::clone(peer));
            if peer.is_over_limit() {
                return Err(Status::resource_exhausted("too many connections"));
            }
            Ok(request)
        };
        let (_, health) = tonic_health::server::health_reporter();
        let router = server.add_service(InterceptedService::new(health, record_peer));
        let mut server = JoinSet::new();
        server.spawn(async { router.serve_with_incoming(incoming).await.expect("the server serves") });
        Self { address, connections, peers, _server: server }
    }

    /// Returns the peer of the last request.
    pub fn peer(&self) -> Arc<Peer> {
        let peers = self.peers.lock().expect("no thread panics while holding the lock");
        Arc::clone(peers.last().expect("a request was served"))
    }

    /// Returns a client with a new connection.
    pub async fn client(&self, tls: Option<ClientTlsConfig>) -> Result<HealthClient<Channel>, ClientError> {
        let endpoint = match tls {
            None => Channel::from_shared(format!("http://{}", self.address)).expect("an address is a URI"),
            Some(tls) => {
                let endpoint = Channel::from_shared(format!("https://{}", self.address)).expect("an address is a URI");
                endpoint.tls_config(tls).map_err(ClientError::new)?
            }
        };
        Ok(HealthClient::new(endpoint.connect().await.map_err(ClientError::new)?))
    }

    /// Calls Check on a new connection.
    pub async fn call(&self, tls: Option<ClientTlsConfig>) -> Result<(), ClientError> {
        call(&mut self.client(tls).await?).await.map_err(ClientError::new)
    }

    /// Returns a connection that sends nothing by itself.
    pub async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the port is open")
    }
}

/// A client's error, as its `Debug` prints it.
#[derive(Debug)]
pub struct ClientError(pub String);

impl ClientError {
    fn new(error: impl std::fmt::Debug) -> Self {
        Self(format!("{error:?}"))
    }
}

/// Calls Check.
pub async fn call(client: &mut HealthClient<Channel>) -> Result<(), Status> {
    client.check(HealthCheckRequest::default()).await.map(drop)
}

/// Returns the settings of a client that trusts `authority` and expects the name `localhost`.
pub fn trusting(authority: &Authority) -> ClientTlsConfig {
    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem)).domain_name("localhost")
}

pub fn with_identity(tls: ClientTlsConfig, issued: &Issued) -> ClientTlsConfig {
    tls.identity(Identity::from_pem(&issued.cert, &issued.key))
}
