//! AWS's endpoints over TLS with HTTP/2, with the CA of a company, as behind an inspecting proxy.

use crate::certificates::{Authority, Secret};
use axum::Router;
use face_liveness_facade::simulator::{self, Simulator};
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// A simulator behind TLS and HTTP/2.
pub struct TlsAws {
    pub simulator: Simulator,
    pub address: SocketAddr,
    secret: Secret,
}

impl TlsAws {
    pub async fn start() -> Self {
        let simulator = Simulator::new(simulator::Config::default());
        Self::with_router(simulator.router(), simulator).await
    }

    async fn with_router(router: Router, simulator: Simulator) -> Self {
        let authority = Authority::new();
        let issued = authority.server();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let cert = CertificateDer::from_pem_slice(issued.cert.as_bytes()).expect("it is PEM");
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("it is PEM");
        let config = config.expect("the provider knows the versions").with_no_client_auth();
        let mut config = config.with_single_cert(vec![cert], key).expect("they belong together");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.ok()?;
                    let service = service_fn(move |request| router.clone().oneshot(request));
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok()
                });
            }
        });
        Self { simulator, address, secret: Secret::new(&issued, &authority.pem) }
    }

    /// Returns the path of its CA.
    pub fn ca(&self) -> String {
        let path = self.secret.mutual().client_ca.expect("the secret has a CA");
        path.to_str().expect("the path is text").to_owned()
    }
}

/// Returns the URL of a server on this port whose certificate is for `localhost`.
pub fn url(address: SocketAddr) -> String {
    format!("https://localhost:{}", address.port())
}
