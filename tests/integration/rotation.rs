//! Certificates that change while the server runs, as the kubelet and cert-manager change them.

use crate::{
    certificates::{Authority, Issued, Secret},
    facade::eventually,
    port::{Port, ask, trusting, with_identity},
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

/// A port that reads its files again and again.
struct Rotating {
    port: Port,
    told: Arc<Mutex<Vec<Result<(), String>>>>,
    _watch: JoinSet<()>,
}

impl Rotating {
    async fn open(tls: Tls) -> Self {
        let port = Port::open(Some(tls.clone()), Limits::default()).await;
        let told: Arc<Mutex<Vec<_>>> = Arc::default();
        let telling = Arc::clone(&told);
        let mut watch = JoinSet::new();
        watch.spawn(async move {
            let tell = |news: Result<(), &str>| {
                telling.lock().expect("nobody panics with it").push(news.map_err(str::to_owned));
            };
            match tls.watch(Duration::from_millis(5), tell).await {}
        });
        Self { port, told, _watch: watch }
    }

    fn told(&self) -> Vec<Result<(), String>> {
        self.told.lock().expect("nobody panics with it").clone()
    }

    async fn has_told(&self, count: usize) {
        eventually("the watch has told", async || self.told().len() >= count).await;
    }

    /// Whether a new connection is shown this certificate.
    async fn shows(&self, authority: &Authority, issued: &Issued) -> bool {
        let config = Arc::new(config(authority, &rustls::version::TLS13, &[b"h2"]));
        let stream = connect(&self.port, config).await.expect("a handshake");
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
        shown == Some(CertificateDer::from_pem_slice(issued.cert.as_bytes()).expect("it is PEM"))
    }
}

/// Asks for ever: on one connection, or on a new one each time.
async fn load(port: Arc<Rotating>, tls: ClientTlsConfig, reconnect: bool, asked: Arc<AtomicU64>) {
    let connect = async || port.port.client(Some(tls.clone())).await.expect("a connection");
    let mut client = connect().await;
    loop {
        if reconnect {
            client = connect().await;
        }
        ask(&mut client).await.expect("an answer");
        asked.fetch_add(1, Relaxed);
    }
}

#[tokio::test]
async fn no_request_fails_while_certificates_are_swapped() {
    let authority = Authority::new();
    let mut secret = Secret::new(&authority.server(), "");
    let tls = Tls::load(secret.files()).expect("the files are sound");
    let rotating = Arc::new(Rotating::open(tls).await);
    let mut clients = JoinSet::new();
    let asked: Vec<Arc<AtomicU64>> = (0..5).map(|_| Arc::default()).collect();
    for (number, asked) in asked.iter().enumerate() {
        clients.spawn(load(Arc::clone(&rotating), trusting(&authority), number == 0, Arc::clone(asked)));
    }
    for swap in 1..=5 {
        let issued = authority.server();
        secret.swap(&issued.cert, &issued.key, "");
        eventually("a new connection sees it", async || rotating.shows(&authority, &issued).await).await;
        rotating.has_told(swap).await;
        let before: Vec<_> = asked.iter().map(|asked| asked.load(Relaxed)).collect();
        let further = async || before.iter().zip(&asked).all(|(before, asked)| asked.load(Relaxed) > before + 2);
        eventually("every client was answered since", further).await;
    }
    assert!(clients.try_join_next().is_none(), "a client failed");
    assert_eq!(rotating.told(), vec![Ok(()); 5]);
}

#[tokio::test]
async fn a_connection_outlives_the_certificate_that_it_began_with() {
    let authority = Authority::new();
    let mut secret = Secret::new(&authority.server(), "");
    let tls = Tls::load(secret.files()).expect("the files are sound");
    let rotating = Rotating::open(tls).await;
    let mut client = rotating.port.client(Some(trusting(&authority))).await.expect("a connection");
    ask(&mut client).await.expect("an answer");
    let connection = rotating.port.peer();
    // Even under another CA, which a new connection of this client would not trust.
    let other = Authority::new().server();
    secret.swap(&other.cert, &other.key, "");
    rotating.has_told(1).await;
    rotating.port.ask(Some(trusting(&authority))).await.expect_err("another CA");
    ask(&mut client).await.expect("an answer");
    assert_eq!(rotating.port.peer().address, connection.address);
}

#[tokio::test]
async fn a_broken_set_is_told_once_and_a_sound_one_heals() {
    let authority = Authority::new();
    let first = authority.server();
    let mut secret = Secret::new(&first, "");
    let rotating = Rotating::open(Tls::load(secret.files()).expect("the files are sound")).await;
    let next = authority.server();
    secret.swap(&next.cert, &first.key, "");
    rotating.has_told(1).await;
    assert!(rotating.shows(&authority, &first).await);
    // With another key, so that no look between the two meets a sound set.
    secret.swap("garbage", &authority.server().key, "");
    rotating.has_told(2).await;
    assert!(rotating.shows(&authority, &first).await);
    secret.swap(&next.cert, &next.key, "");
    rotating.has_told(3).await;
    assert!(rotating.shows(&authority, &next).await);
    let told = rotating.told();
    let [Err(mismatch), Err(garbage), Ok(())] = &told[..] else { panic!("{told:?}") };
    assert!(mismatch.contains("does not belong"), "{mismatch}");
    assert!(garbage.contains("contains no certificate"), "{garbage}");
}

#[tokio::test]
async fn clients_of_a_new_ca_are_served_and_those_of_the_old_are_not_any_more() {
    let authority = Authority::new();
    let (old, new) = (Authority::new(), Authority::new());
    let server = authority.server();
    let mut secret = Secret::new(&server, &old.pem);
    let rotating = Rotating::open(Tls::load(secret.mutual()).expect("the files are sound")).await;
    let as_client = |clients: &Authority| Some(with_identity(trusting(&authority), &clients.client()));
    rotating.port.ask(as_client(&old)).await.expect("an answer");
    rotating.port.ask(as_client(&new)).await.expect_err("not yet");
    secret.swap(&server.cert, &server.key, &new.pem);
    rotating.has_told(1).await;
    rotating.port.ask(as_client(&new)).await.expect("an answer");
    rotating.port.ask(as_client(&old)).await.expect_err("not any more");
}
