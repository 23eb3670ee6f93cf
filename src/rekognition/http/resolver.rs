//! Resolves names so that each new connection starts with another address.

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError, SharedDnsResolver};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Rotates the addresses of a name. The connect timeout covers all of them: if the first one drops
/// packets, a connection never gets to the second. The next attempt then begins with it.
#[derive(Clone, Debug)]
pub struct Rotating {
    names: SharedDnsResolver,
    next: Arc<AtomicUsize>,
}

impl Rotating {
    pub fn new(names: impl ResolveDns + 'static) -> Self {
        Self { names: SharedDnsResolver::new(names), next: Arc::default() }
    }
}

impl ResolveDns for Rotating {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let mut addresses = self.names.resolve_dns(name).await?;
            let first = self.next.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
            addresses.rotate_left(first);
            Ok(addresses)
        })
    }
}

/// The resolver of the operating system.
#[derive(Debug)]
pub struct System;

impl ResolveDns for System {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

#[cfg(all(test, feature = "simulator"))]
mod tests {
    use super::*;
    use crate::{
        error::Reason,
        rekognition::{Http, Rekognition},
        session::SessionId,
        simulator::{self, Simulator},
        telemetry::spans,
    };
    use aws_smithy_http_client::{proxy::ProxyConfig, tls::TlsContext};
    use std::{future::pending, net::IpAddr, time::Duration};
    use tokio::{
        net::{TcpListener, TcpSocket, TcpStream},
        time::timeout,
    };

    const DEAD: [u8; 4] = [127, 0, 0, 2];
    const LIVE: [u8; 4] = [127, 0, 0, 1];

    #[derive(Debug)]
    struct Fixed(Vec<IpAddr>);

    impl ResolveDns for Fixed {
        fn resolve_dns<'a>(&'a self, _: &'a str) -> DnsFuture<'a> {
            DnsFuture::ready(Ok(self.0.clone()))
        }
    }

    /// Returns the reasons of two reads from a name with these addresses and this port.
    async fn reads(addresses: Vec<IpAddr>, port: u16) -> [Reason; 2] {
        let http = Http::with_names(TlsContext::default(), ProxyConfig::disabled(), Fixed(addresses));
        let config = Rekognition::fake(http.clone(), &format!("http://two.test:{port}"), "us-east-1");
        let rekognition = Rekognition::new(&config, None, Duration::from_secs(2), Some(http));
        let read = async || rekognition.read(SessionId::random(), &spans::Caller::current()).await;
        [read().await, read().await].map(|read| read.expect_err("no session exists").reason)
    }

    async fn simulate(port: u16) -> u16 {
        let listener = TcpListener::bind((IpAddr::from(LIVE), port)).await.expect("the port is free");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        tokio::spawn(Simulator::new(simulator::Config::default()).serve(listener, pending()));
        port
    }

    #[tokio::test]
    async fn after_an_address_that_drops_packets_the_next_one_is_used() {
        let dead = TcpSocket::new_v4().expect("a socket");
        dead.bind((IpAddr::from(DEAD), 0).into()).expect("all of 127.0.0.0/8 is loopback");
        let dead = dead.listen(1).expect("the address is free");
        let address = dead.local_addr().expect("a bound socket has an address");
        // Linux drops the packets of further connections once the backlog is full.
        let mut backlog = Vec::new();
        while let Ok(connected) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
            backlog.push(connected.expect("it listens"));
            assert!(backlog.len() < 16, "the backlog never fills");
        }
        let port = simulate(address.port()).await;
        let reasons = reads(vec![DEAD.into(), LIVE.into()], port).await;
        assert_eq!(reasons, [Reason::UpstreamTimeout, Reason::SessionNotFound]);
    }

    #[tokio::test]
    async fn after_an_address_without_a_listener_the_next_one_is_used_at_once() {
        let port = simulate(0).await;
        let reasons = reads(vec![DEAD.into(), LIVE.into()], port).await;
        assert_eq!(reasons, [Reason::SessionNotFound; 2]);
    }
}
