//! A TCP proxy between the service and its simulated AWS. It injects faults below HTTP.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpSocket, TcpStream},
    sync::watch,
};

/// What happens to each connection.
#[derive(Clone, Copy, PartialEq)]
pub enum ConnectionFault {
    /// The port does not listen.
    ConnectionRefused,
    /// The connection is reset once the request has arrived.
    Reset,
    /// The connection is closed once the request has arrived.
    Closed,
    /// The response is not HTTP.
    NotHttp,
    /// The body of the response grows by a byte now and then, endlessly.
    Drip,
    /// The body of the response is endless, as fast as the service reads it.
    Flood,
}

pub struct Proxy {
    pub address: SocketAddr,
    /// Bound before it listens, so that no other process takes the port.
    socket: Mutex<Option<TcpSocket>>,
    state: Arc<ProxyState>,
}

struct ProxyState {
    aws: SocketAddr,
    fault: Mutex<Option<ConnectionFault>>,
    failed: AtomicU64,
    open: watch::Sender<usize>,
}

impl Proxy {
    pub fn start(aws: SocketAddr, fault: Option<ConnectionFault>) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("loopback has a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let state =
            ProxyState { aws, fault: Mutex::new(fault), failed: AtomicU64::new(0), open: watch::Sender::new(0) };
        let proxy = Self { address, socket: Mutex::new(Some(socket)), state: Arc::new(state) };
        if fault != Some(ConnectionFault::ConnectionRefused) {
            proxy.listen();
        }
        proxy
    }

    /// Forwards all further connections to AWS.
    pub fn clear_fault(&self) {
        *self.state.fault.lock().expect("no thread panics while holding the lock") = None;
        self.listen();
    }

    /// Returns the number of connections that met the fault.
    pub fn failed(&self) -> u64 {
        self.state.failed.load(Ordering::SeqCst)
    }

    /// Waits until the service has at most one connection open: the pooled one.
    pub async fn wait_until_idle(&self) {
        let mut open = self.state.open.subscribe();
        open.wait_for(|open| *open <= 1).await.expect("the proxy outlives its connections");
    }

    fn listen(&self) {
        let socket = self.socket.lock().expect("no thread panics while holding the lock").take();
        let Some(socket) = socket else { return };
        let listener = socket.listen(64).expect("a bound socket listens");
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    state.open.send_modify(|open| *open += 1);
                    state.serve(stream).await.ok();
                    state.open.send_modify(|open| *open -= 1);
                });
            }
        });
    }
}

impl ProxyState {
    async fn serve(&self, mut service: TcpStream) -> std::io::Result<()> {
        let fault = *self.fault.lock().expect("no thread panics while holding the lock");
        let Some(fault) = fault else {
            let mut aws = TcpStream::connect(self.aws).await?;
            return copy_bidirectional(&mut service, &mut aws).await.map(drop);
        };
        self.failed.fetch_add(1, Ordering::SeqCst);
        // Reads the whole request, a JSON object: with unread bytes, each close would be a reset.
        let mut request = Vec::new();
        while !request.ends_with(b"}") && service.read_buf(&mut request).await? > 0 {}
        match fault {
            ConnectionFault::ConnectionRefused | ConnectionFault::Closed => Ok(()),
            ConnectionFault::Reset => service.set_zero_linger(),
            ConnectionFault::NotHttp => service.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await,
            ConnectionFault::Drip => endless(service, b" ", Duration::from_millis(20)).await,
            ConnectionFault::Flood => endless(service, &vec![b' '; 1024 * 1024], Duration::ZERO).await,
        }
    }
}

/// Sends a response that never ends, until the service closes the connection.
async fn endless(mut service: TcpStream, piece: &[u8], pause: Duration) -> std::io::Result<()> {
    service.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\n\r\n").await?;
    loop {
        service.write_all(piece).await?;
        tokio::time::sleep(pause).await;
    }
}
