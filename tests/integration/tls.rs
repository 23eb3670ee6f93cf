//! Which clients are served over TLS, and which are rejected.

use crate::{
    certificates::{Authority, Issued, Secret, client, dns, expired, server, uri},
    facade::eventually,
    port::{Port, trusting, with_identity},
};
use face_liveness_facade::server::{
    incoming::{CloseReason, Limits},
    tls::{Files, Tls},
};
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use std::{io, sync::Arc};
use tokio_rustls::{TlsConnector, client::TlsStream};

async fn port(files: Files) -> Port {
    Port::open(Some(Tls::load(files).expect("valid files")), Limits::default()).await
}

/// Asserts that the server rejected the handshake. The client may have retried.
async fn assert_rejected_by_server(port: &Port) {
    eventually("a handshake has failed", async || port.connections.closed(CloseReason::Handshake) > 0).await;
    eventually("the connection is no longer counted", async || port.connections.live() == 0).await;
}

/// Asserts that the client rejected the server. A reset can overtake its alert.
async fn assert_rejected_by_client(port: &Port) {
    let is_counted = |reason| port.connections.closed(reason) > 0;
    eventually("the client has disconnected", async || {
        is_counted(CloseReason::Handshake) || is_counted(CloseReason::Left)
    })
    .await;
    eventually("the connection is no longer counted", async || port.connections.live() == 0).await;
}

/// Connects with rustls, which exposes more of the handshake than tonic.
pub async fn connect(port: &Port, config: Arc<ClientConfig>) -> io::Result<TlsStream<tokio::net::TcpStream>> {
    let name = "localhost".try_into().expect("it is a DNS name");
    TlsConnector::from(config).connect(name, port.raw().await).await
}

pub fn config(authority: &Authority, version: &'static SupportedProtocolVersion, alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("it is PEM")).expect("a CA certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
    let builder = builder.expect("the provider knows the version").with_root_certificates(roots);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

#[tokio::test]
async fn a_client_that_trusts_the_ca_is_served() {
    let authority = Authority::new();
    let secret = Secret::new(&authority.server(), "");
    let port = port(secret.files()).await;
    port.call(Some(trusting(&authority))).await.expect("a response");
    assert_eq!(port.peer().names, Vec::<String>::new());
    assert!(port.peer().address.ip().is_loopback());
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_supported_without_session_resumption() {
    let authority = Authority::new();
    let secret = Secret::new(&authority.server(), "");
    let port = port(secret.files()).await;
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let config = Arc::new(config(&authority, version, &[b"h2"]));
        for _ in 0..3 {
            let stream = connect(&port, Arc::clone(&config)).await.expect("a handshake");
            assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            // A resumed session would skip the verification of the client certificate.
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}

#[tokio::test]
async fn a_client_without_http2_in_alpn_is_rejected() {
    let authority = Authority::new();
    let secret = Secret::new(&authority.server(), "");
    let port = port(secret.files()).await;
    let error = connect(&port, Arc::new(config(&authority, &TLS13, &[b"http/1.1"]))).await.expect_err("no protocol");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    assert_rejected_by_server(&port).await;
}

#[tokio::test]
async fn a_client_without_tls_is_rejected() {
    let secret = Secret::new(&Authority::new().server(), "");
    let port = port(secret.files()).await;
    port.call(None).await.expect_err("no TLS");
    assert_rejected_by_server(&port).await;
}

#[tokio::test]
async fn a_client_rejects_the_server_when_the_name_differs() {
    let authority = Authority::new();
    let secret = Secret::new(&authority.server(), "");
    let port = port(secret.files()).await;
    let error = port.call(Some(trusting(&authority).domain_name("other.shop"))).await.expect_err("another name");
    assert!(error.0.contains("NotValidForName"), "{error:?}");
    assert_rejected_by_client(&port).await;
}

#[tokio::test]
async fn a_client_rejects_the_server_when_the_ca_differs() {
    let secret = Secret::new(&Authority::new().server(), "");
    let port = port(secret.files()).await;
    let error = port.call(Some(trusting(&Authority::new()))).await.expect_err("another CA");
    assert!(error.0.contains("InvalidCertificate"), "{error:?}");
    assert_rejected_by_client(&port).await;
}

#[tokio::test]
async fn a_client_rejects_a_server_with_an_expired_certificate() {
    let authority = Authority::new();
    let secret = Secret::new(&authority.issue(expired(server())), "");
    let port = port(secret.files()).await;
    let error = port.call(Some(trusting(&authority))).await.expect_err("it has expired");
    assert!(error.0.contains("Expired"), "{error:?}");
    assert_rejected_by_client(&port).await;
}

/// Opens a port with mutual TLS. Returns it, and whether a client with `identity` is served.
async fn mutual(clients: &Authority, identity: Option<&Issued>) -> (Port, bool) {
    let servers = Authority::new();
    let secret = Secret::new(&servers.server(), &clients.pem);
    let port = port(secret.mutual()).await;
    let tls = identity.into_iter().fold(trusting(&servers), with_identity);
    let served = port.call(Some(tls)).await.is_ok();
    (port, served)
}

#[tokio::test]
async fn a_client_certificate_of_the_ca_is_accepted_and_identifies_the_client() {
    let clients = Authority::new();
    let mut params = client();
    params.subject_alt_names = vec![dns("checkout.shop.svc"), uri("spiffe://shop/ns/shop/sa/checkout")];
    let (port, served) = mutual(&clients, Some(&clients.issue(params))).await;
    assert!(served);
    assert_eq!(port.peer().names, ["spiffe://shop/ns/shop/sa/checkout", "checkout.shop.svc"]);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_rejected() {
    let (port, served) = mutual(&Authority::new(), None).await;
    assert!(!served);
    assert_rejected_by_server(&port).await;
}

#[tokio::test]
async fn a_client_certificate_of_another_ca_is_rejected() {
    let (port, served) = mutual(&Authority::new(), Some(&Authority::new().client())).await;
    assert!(!served);
    assert_rejected_by_server(&port).await;
}

#[tokio::test]
async fn an_expired_client_certificate_is_rejected() {
    let clients = Authority::new();
    let (port, served) = mutual(&clients, Some(&clients.issue(expired(client())))).await;
    assert!(!served);
    assert_rejected_by_server(&port).await;
}

#[tokio::test]
async fn a_server_certificate_is_rejected_as_a_client_certificate() {
    let clients = Authority::new();
    let (port, served) = mutual(&clients, Some(&clients.server())).await;
    assert!(!served);
    assert_rejected_by_server(&port).await;
}

#[test]
fn private_keys_in_sec1_and_pkcs1_format_are_accepted() {
    let pem = |label: &str, der: &[u8]| {
        let body = aws_smithy_types::base64::encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    // PKCS#8 adds a header to the older format, of a fixed length for these two algorithms.
    let forms =
        [("EC PRIVATE KEY", &rcgen::PKCS_ECDSA_P256_SHA256, 29), ("RSA PRIVATE KEY", &rcgen::PKCS_RSA_SHA256, 26)];
    for (label, algorithm, head) in forms {
        let key = rcgen::KeyPair::generate_for(algorithm).expect("there is entropy");
        let cert = server().self_signed(&key).expect("valid parameters").pem();
        let key = pem(label, &key.serialized_der()[head..]);
        assert!(PrivateKeyDer::from_pem_slice(key.as_bytes()).is_ok_and(|key| !matches!(key, PrivateKeyDer::Pkcs8(_))));
        let secret = Secret::new(&Issued { cert, key }, "");
        Tls::load(secret.files()).map(drop).unwrap_or_else(|error| panic!("{label}: {error}"));
    }
}
