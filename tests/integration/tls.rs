//! Who is served over TLS, and who is not.

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
    Port::open(Some(Tls::load(files).expect("the files are sound")), Limits::default()).await
}

/// The server has refused the client, whatever the client made of it. A client may have tried
/// again.
async fn refused_by_the_server(port: &Port) {
    eventually("a handshake has failed", async || port.connections.closed(CloseReason::Handshake) > 0).await;
    eventually("its place is free", async || port.connections.live() == 0).await;
}

/// The client has refused the server, with an alert that a reset may overtake.
async fn refused_by_the_client(port: &Port) {
    let refused = |refusal| port.connections.closed(refusal) > 0;
    eventually("it went away", async || refused(CloseReason::Handshake) || refused(CloseReason::Left)).await;
    eventually("its place is free", async || port.connections.live() == 0).await;
}

/// A connection by rustls itself, which tells more of it than tonic.
pub async fn connect(port: &Port, config: Arc<ClientConfig>) -> io::Result<TlsStream<tokio::net::TcpStream>> {
    let name = "localhost".try_into().expect("it is a DNS name");
    TlsConnector::from(config).connect(name, port.raw().await).await
}

pub fn config(authority: &Authority, version: &'static SupportedProtocolVersion, alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("it is PEM")).expect("it is a CA's");
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
    port.ask(Some(trusting(&authority))).await.expect("an answer");
    assert_eq!(port.peer().names, Vec::<String>::new());
    assert!(port.peer().address.ip().is_loopback());
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_never_resumed() {
    let authority = Authority::new();
    let secret = Secret::new(&authority.server(), "");
    let port = port(secret.files()).await;
    for (version, spoken) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let config = Arc::new(config(&authority, version, &[b"h2"]));
        for _ in 0..3 {
            let stream = connect(&port, Arc::clone(&config)).await.expect("a handshake");
            assert_eq!(stream.get_ref().1.protocol_version(), Some(spoken));
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            // A session that is resumed is not verified anew.
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}

#[tokio::test]
async fn another_protocol_than_http2_is_refused() {
    let authority = Authority::new();
    let secret = Secret::new(&authority.server(), "");
    let port = port(secret.files()).await;
    let error = connect(&port, Arc::new(config(&authority, &TLS13, &[b"http/1.1"]))).await.expect_err("no protocol");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    refused_by_the_server(&port).await;
}

#[tokio::test]
async fn a_client_without_tls_is_refused() {
    let secret = Secret::new(&Authority::new().server(), "");
    let port = port(secret.files()).await;
    port.ask(None).await.expect_err("no TLS");
    refused_by_the_server(&port).await;
}

#[tokio::test]
async fn a_server_is_refused_by_a_client_that_asked_for_another_name() {
    let authority = Authority::new();
    let secret = Secret::new(&authority.server(), "");
    let port = port(secret.files()).await;
    let error = port.ask(Some(trusting(&authority).domain_name("other.shop"))).await.expect_err("another name");
    assert!(error.0.contains("NotValidForName"), "{error:?}");
    refused_by_the_client(&port).await;
}

#[tokio::test]
async fn a_server_is_refused_by_a_client_of_another_ca() {
    let secret = Secret::new(&Authority::new().server(), "");
    let port = port(secret.files()).await;
    let error = port.ask(Some(trusting(&Authority::new()))).await.expect_err("another CA");
    assert!(error.0.contains("InvalidCertificate"), "{error:?}");
    refused_by_the_client(&port).await;
}

#[tokio::test]
async fn a_server_with_an_expired_certificate_is_refused_by_the_client() {
    let authority = Authority::new();
    let secret = Secret::new(&authority.issue(expired(server())), "");
    let port = port(secret.files()).await;
    let error = port.ask(Some(trusting(&authority))).await.expect_err("it has expired");
    assert!(error.0.contains("Expired"), "{error:?}");
    refused_by_the_client(&port).await;
}

/// A port with mutual TLS, and what a client gets that shows `identity`.
async fn mutual(clients: &Authority, identity: Option<&Issued>) -> (Port, bool) {
    let servers = Authority::new();
    let secret = Secret::new(&servers.server(), &clients.pem);
    let port = port(secret.mutual()).await;
    let tls = identity.into_iter().fold(trusting(&servers), with_identity);
    let served = port.ask(Some(tls)).await.is_ok();
    (port, served)
}

#[tokio::test]
async fn a_client_with_a_certificate_of_the_ca_is_served_and_known_by_its_names() {
    let clients = Authority::new();
    let mut params = client();
    params.subject_alt_names = vec![dns("checkout.shop.svc"), uri("spiffe://shop/ns/shop/sa/checkout")];
    let (port, served) = mutual(&clients, Some(&clients.issue(params))).await;
    assert!(served);
    assert_eq!(port.peer().names, ["spiffe://shop/ns/shop/sa/checkout", "checkout.shop.svc"]);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let (port, served) = mutual(&Authority::new(), None).await;
    assert!(!served);
    refused_by_the_server(&port).await;
}

#[tokio::test]
async fn a_client_with_a_certificate_of_another_ca_is_refused() {
    let (port, served) = mutual(&Authority::new(), Some(&Authority::new().client())).await;
    assert!(!served);
    refused_by_the_server(&port).await;
}

#[tokio::test]
async fn a_client_with_an_expired_certificate_is_refused() {
    let clients = Authority::new();
    let (port, served) = mutual(&clients, Some(&clients.issue(expired(client())))).await;
    assert!(!served);
    refused_by_the_server(&port).await;
}

#[tokio::test]
async fn a_client_with_the_certificate_of_a_server_is_refused() {
    let clients = Authority::new();
    let (port, served) = mutual(&clients, Some(&clients.server())).await;
    assert!(!served);
    refused_by_the_server(&port).await;
}

#[test]
fn keys_of_the_older_forms_are_read() {
    let pem = |label: &str, der: &[u8]| {
        let body = aws_smithy_types::base64::encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    // PKCS#8 is the older form with a head, of a fixed length for these two kinds.
    let forms =
        [("EC PRIVATE KEY", &rcgen::PKCS_ECDSA_P256_SHA256, 29), ("RSA PRIVATE KEY", &rcgen::PKCS_RSA_SHA256, 26)];
    for (label, algorithm, head) in forms {
        let key = rcgen::KeyPair::generate_for(algorithm).expect("there is entropy");
        let cert = server().self_signed(&key).expect("the parameters are sound").pem();
        let key = pem(label, &key.serialized_der()[head..]);
        assert!(PrivateKeyDer::from_pem_slice(key.as_bytes()).is_ok_and(|key| !matches!(key, PrivateKeyDer::Pkcs8(_))));
        let secret = Secret::new(&Issued { cert, key }, "");
        Tls::load(secret.files()).map(drop).unwrap_or_else(|sentence| panic!("{label}: {sentence}"));
    }
}
