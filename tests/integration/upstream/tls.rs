//! AWS's endpoints over TLS with HTTP/2, with the CA of a company, as behind an inspecting proxy.

use crate::{
    certificates::{Authority, Secret, client},
    commands::run,
    facade::{id, request},
    program::{aws, serve},
};
use axum::{Router, routing::post};
use face_liveness_facade::simulator::{self, Pace, Session, Simulator, Status};
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

#[tokio::test]
async fn aws_ca_bundle_and_ca_bundle_of_the_profile_are_trusted() {
    let server = TlsAws::start().await;
    let (endpoint, ca) = (url(server.address), server.ca());
    let profile = format!("{ca}.profile");
    std::fs::write(&profile, format!("[default]\nca_bundle = {ca}\n")).expect("the folder is writable");
    for setting in [("AWS_CA_BUNDLE", ca.as_str()), ("AWS_CONFIG_FILE", profile.as_str())] {
        let output = run(&["check"], &[&aws(&endpoint)[..], &[setting]].concat()).await;
        assert_eq!((output.code, output.stderr_lines.len()), (Some(0), 0), "{setting:?}: {output:?}");
    }
    // The bundle of another CA is used instead of the system's.
    let other = Secret::new(&Authority::new().issue(client()), &Authority::new().pem);
    let other = other.mutual().client_ca.expect("the secret has a CA");
    let setting = ("AWS_CA_BUNDLE", other.to_str().expect("the path is text"));
    let output = run(&["check"], &[&aws(&endpoint)[..], &[setting]].concat()).await;
    output.assert_error(1, &["cannot be reached", "AWS_CA_BUNDLE"]);
}

#[tokio::test]
async fn aws_ca_bundle_is_trusted_for_sts() {
    let sts = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
        <AccessKeyId>any</AccessKeyId><SecretAccessKey>any</SecretAccessKey><SessionToken>any</SessionToken>\
        <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
        </AssumeRoleWithWebIdentityResponse>";
    let sts_router = Router::new().route("/", post(move || async move { ([("content-type", "text/xml")], sts) }));
    let server = TlsAws::with_router(sts_router, Simulator::new(simulator::Config::default())).await;
    let (_simulator, endpoint) = crate::program::simulator().await;
    let (ca, sts_endpoint) = (server.ca(), url(server.address));
    let token = format!("{ca}.token");
    std::fs::write(&token, "any").expect("the folder is writable");
    let settings = [
        ("AWS_ENDPOINT_URL_REKOGNITION", endpoint.as_str()),
        ("AWS_ENDPOINT_URL_STS", &sts_endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/any"),
        ("AWS_CA_BUNDLE", &ca),
    ];
    let output = run(&["check", "--upstream-timeout", "8s"], &settings).await;
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[tokio::test]
async fn a_ca_bundle_that_cannot_be_used_exits_64() {
    let server = TlsAws::start().await;
    let (endpoint, ca) = (url(server.address), server.ca());
    let bad = format!("{ca}.bad");
    let write = |content: &str| std::fs::write(&bad, content).expect("the folder is writable");
    let not_a_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (content, words) in [
        ("", "contains no certificate"),
        ("nonsense", "contains no certificate"),
        ("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n", "is damaged or cut short"),
        (not_a_certificate, "contains a certificate that cannot be a CA's"),
    ] {
        write(content);
        let settings = [&aws(&endpoint)[..], &[("AWS_CA_BUNDLE", bad.as_str())]].concat();
        for command in [&["check"][..], &["serve", "--validate"]] {
            run(command, &settings).await.assert_error(64, &["AWS_CA_BUNDLE", &bad, words]);
        }
    }
    let settings = [&aws(&endpoint)[..], &[("AWS_CA_BUNDLE", "/no/such.pem")]].concat();
    run(&["check"], &settings).await.assert_error(64, &["AWS_CA_BUNDLE", "/no/such.pem", "cannot be read"]);
}

#[tokio::test]
async fn a_service_with_a_ca_bundle_reads_sessions() {
    let server = TlsAws::start().await;
    server.simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    let (endpoint, ca) = (url(server.address), server.ca());
    let running = serve(&[], &[&aws(&endpoint)[..], &[("AWS_CA_BUNDLE", ca.as_str())]].concat());
    running.client().await.get_liveness_result(request(&id(1))).await.expect("a response");
}
