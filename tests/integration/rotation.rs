//! Certificates that are replaced while the server runs, as the kubelet and cert-manager do.

use crate::{
    certificates::{Authority, Issued, Secret},
    facade::eventually,
    port::{Port, call, trusting, with_identity},
    tls::{config, connect},
};
use face_liveness_facade::server::{incoming::Limits, tls::Tls};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::task::JoinSet;
use tonic::transport::ClientTlsConfig;

/// A port that reloads its certificates.
struct ReloadingPort {
    port: Port,
    reloads: Arc<Mutex<Vec<Result<(), String>>>>,
    _watch: JoinSet<()>,
}

impl ReloadingPort {
    async fn open(tls: Tls) -> Self {
        let port = Port::open(Some(tls.clone()), Limits::default()).await;
        let reloads: Arc<Mutex<Vec<_>>> = Arc::default();
        let recorded = Arc::clone(&reloads);
        let mut watch = JoinSet::new();
        watch.spawn(async move {
            let record = |reload: Result<(), &str>| {
                recorded.lock().expect("no thread panics while holding the lock").push(reload.map_err(str::to_owned));
            };
            match tls.watch(Duration::from_millis(5), record).await {}
        });
        Self { port, reloads, _watch: watch }
    }

    fn reloads(&self) -> Vec<Result<(), String>> {
        self.reloads.lock().expect("no thread panics while holding the lock").clone()
    }

    async fn wait_for_reloads(&self, count: usize) {
        eventually("the certificates are reloaded", async || self.reloads().len() >= count).await;
    }

    /// Returns whether a new connection gets this certificate.
    async fn serves(&self, authority: &Authority, issued: &Issued) -> bool {
        let config = Arc::new(config(authority, &rustls::version::TLS13, &[b"h2"]));
        let stream = connect(&self.port, config).await.expect("a handshake");
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
        shown == Some(CertificateDer::from_pem_slice(issued.cert.as_bytes()).expect("it is PEM"))
    }
}

/// Calls endlessly: on one connection, or on a new one each time.
async fn load(port: Arc<ReloadingPort>, tls: ClientTlsConfig, reconnect: bool, calls: Arc<AtomicU64>) {
    let connect = async || port.port.client(Some(tls.clone())).await.expect("a connection");
    let mut client = connect().await;
    loop {
        if reconnect {
            client = connect().await;
        }
        call(&mut client).await.expect("a response");
        calls.fetch_add(1, Relaxed);
    }
}

#[tokio::test]
async fn no_request_fails_while_certificates_are_replaced() {
    let authority = Authority::new();
    let mut secret = Secret::new(&authority.server(), "");
    let tls = Tls::load(secret.files()).expect("valid files");
    let rotating = Arc::new(ReloadingPort::open(tls).await);
    let mut clients = JoinSet::new();
    let calls: Vec<Arc<AtomicU64>> = (0..5).map(|_| Arc::default()).collect();
    for (number, calls) in calls.iter().enumerate() {
        clients.spawn(load(Arc::clone(&rotating), trusting(&authority), number == 0, Arc::clone(calls)));
    }
    for swap in 1..=5 {
        let issued = authority.server();
        secret.replace(&issued.cert, &issued.key, "");
        eventually("a new connection gets it", async || rotating.serves(&authority, &issued).await).await;
        rotating.wait_for_reloads(swap).await;
        let before: Vec<_> = calls.iter().map(|calls| calls.load(Relaxed)).collect();
        let further = async || before.iter().zip(&calls).all(|(before, calls)| calls.load(Relaxed) > before + 2);
        eventually("every client has got further responses", further).await;
    }
    assert!(clients.try_join_next().is_none(), "a client failed");
    assert_eq!(rotating.reloads(), vec![Ok(()); 5]);
}

#[tokio::test]
async fn a_connection_outlives_the_certificate_of_its_handshake() {
    let authority = Authority::new();
    let mut secret = Secret::new(&authority.server(), "");
    let tls = Tls::load(secret.files()).expect("valid files");
    let rotating = ReloadingPort::open(tls).await;
    let mut client = rotating.port.client(Some(trusting(&authority))).await.expect("a connection");
    call(&mut client).await.expect("a response");
    let connection = rotating.port.peer();
    // The new certificate is from another CA, so new connections of this client fail.
    let other = Authority::new().server();
    secret.replace(&other.cert, &other.key, "");
    rotating.wait_for_reloads(1).await;
    rotating.port.call(Some(trusting(&authority))).await.expect_err("another CA");
    call(&mut client).await.expect("a response");
    assert_eq!(rotating.port.peer().address, connection.address);
}

#[tokio::test]
async fn an_invalid_certificate_is_reported_once_and_a_valid_one_is_loaded() {
    let authority = Authority::new();
    let first = authority.server();
    let mut secret = Secret::new(&first, "");
    let rotating = ReloadingPort::open(Tls::load(secret.files()).expect("valid files")).await;
    let next = authority.server();
    secret.replace(&next.cert, &first.key, "");
    rotating.wait_for_reloads(1).await;
    assert!(rotating.serves(&authority, &first).await);
    // With another key, so that no reload between the two writes reads a valid pair.
    secret.replace("garbage", &authority.server().key, "");
    rotating.wait_for_reloads(2).await;
    assert!(rotating.serves(&authority, &first).await);
    secret.replace(&next.cert, &next.key, "");
    rotating.wait_for_reloads(3).await;
    assert!(rotating.serves(&authority, &next).await);
    let reloads = rotating.reloads();
    let [Err(mismatch), Err(garbage), Ok(())] = &reloads[..] else { panic!("{reloads:?}") };
    assert!(mismatch.contains("does not belong"), "{mismatch}");
    assert!(garbage.contains("contains no certificate"), "{garbage}");
}

#[tokio::test]
async fn after_a_ca_rotation_only_clients_of_the_new_ca_are_served() {
    let authority = Authority::new();
    let (old, new) = (Authority::new(), Authority::new());
    let server = authority.server();
    let mut secret = Secret::new(&server, &old.pem);
    let rotating = ReloadingPort::open(Tls::load(secret.mutual()).expect("valid files")).await;
    let as_client = |clients: &Authority| Some(with_identity(trusting(&authority), &clients.client()));
    rotating.port.call(as_client(&old)).await.expect("a response");
    rotating.port.call(as_client(&new)).await.expect_err("not yet");
    secret.replace(&server.cert, &server.key, &new.pem);
    rotating.wait_for_reloads(1).await;
    rotating.port.call(as_client(&new)).await.expect("a response");
    rotating.port.call(as_client(&old)).await.expect_err("no longer");
}
