//! A network whose connections can go silent: nothing arrives, and nothing closes.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{
    io::{AsyncReadExt, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct Network {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Connections before this number are silent.
    silent: watch::Sender<usize>,
}

impl Network {
    /// Forwards connections to this address.
    pub async fn to(server: SocketAddr) -> Self {
        Self::cutting_off(server, u64::MAX).await
    }

    /// Like `to`, but the first connection goes silent after this many bytes from the server.
    pub async fn cutting_off(server: SocketAddr, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (connections, silent) = (Arc::<AtomicUsize>::default(), watch::Sender::new(0));
        let (count, silenced) = (Arc::clone(&connections), silent.subscribe());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = count.fetch_add(1, Relaxed);
                let bytes = if number == 0 { bytes } else { u64::MAX };
                tokio::spawn(forward(client, server, bytes, number, silenced.clone()));
            }
        });
        Self { address, connections, silent }
    }

    /// Makes all present connections silent.
    pub fn silence(&self) {
        self.silent.send_replace(self.connections());
    }

    /// Returns the number of connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }
}

async fn forward(
    mut client: TcpStream,
    server: SocketAddr,
    bytes: u64,
    number: usize,
    mut silenced: watch::Receiver<usize>,
) {
    let mut server = TcpStream::connect(server).await.expect("the server listens");
    let pass = async {
        if bytes == u64::MAX {
            copy_bidirectional(&mut client, &mut server).await.ok();
            return;
        }
        let (mut from_client, mut to_client) = client.split();
        let (from_server, mut to_server) = server.split();
        tokio::select! {
            _ = copy(&mut from_client, &mut to_server) => {}
            _ = async {
                copy(&mut from_server.take(bytes), &mut to_client).await.ok();
                pending::<()>().await;
            } => {}
        }
    };
    tokio::select! {
        () = pass => {}
        () = async { drop(silenced.wait_for(|before| number < *before).await) } => pending().await,
    }
}
