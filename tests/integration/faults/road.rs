//! The road between a service and its simulated AWS: TCP that can break where HTTP cannot say so.

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

/// What happens to whoever takes the road.
#[derive(Clone, Copy, PartialEq)]
pub enum Trouble {
    /// Nobody listens.
    Refused,
    /// The connection is reset once the request has come.
    Reset,
    /// The connection ends in good order once the request has come.
    Closed,
    /// Something else than HTTP answers.
    Gibberish,
    /// An answer whose body gains a byte now and then, for ever.
    Drip,
    /// An answer whose body is as fast as it can be, for ever.
    Flood,
}

pub struct Road {
    pub address: SocketAddr,
    /// Bound, so that the port stays this road's while nobody listens on it.
    socket: Mutex<Option<TcpSocket>>,
    traffic: Arc<Traffic>,
}

struct Traffic {
    aws: SocketAddr,
    trouble: Mutex<Option<Trouble>>,
    lost: AtomicU64,
    open: watch::Sender<usize>,
}

impl Road {
    pub fn to(aws: SocketAddr, trouble: Option<Trouble>) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("loopback has a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let traffic =
            Traffic { aws, trouble: Mutex::new(trouble), lost: AtomicU64::new(0), open: watch::Sender::new(0) };
        let road = Self { address, socket: Mutex::new(Some(socket)), traffic: Arc::new(traffic) };
        if trouble != Some(Trouble::Refused) {
            road.listen();
        }
        road
    }

    /// From now on the road leads to AWS.
    pub fn mend(&self) {
        *self.traffic.trouble.lock().expect("nobody panics with it") = None;
        self.listen();
    }

    /// Connections that the trouble took.
    pub fn lost(&self) -> u64 {
        self.traffic.lost.load(Ordering::SeqCst)
    }

    /// Completes when the service holds no connection open but one to use again.
    pub async fn settles(&self) {
        let mut open = self.traffic.open.subscribe();
        open.wait_for(|open| *open <= 1).await.expect("the road lasts");
    }

    fn listen(&self) {
        let Some(socket) = self.socket.lock().expect("nobody panics with it").take() else { return };
        let listener = socket.listen(64).expect("a bound socket listens");
        let traffic = Arc::clone(&self.traffic);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let traffic = Arc::clone(&traffic);
                tokio::spawn(async move {
                    traffic.open.send_modify(|open| *open += 1);
                    // However a connection ends, it is its end that counts.
                    traffic.carry(stream).await.ok();
                    traffic.open.send_modify(|open| *open -= 1);
                });
            }
        });
    }
}

impl Traffic {
    async fn carry(&self, mut caller: TcpStream) -> std::io::Result<()> {
        let trouble = *self.trouble.lock().expect("nobody panics with it");
        let Some(trouble) = trouble else {
            let mut aws = TcpStream::connect(self.aws).await?;
            return copy_bidirectional(&mut caller, &mut aws).await.map(drop);
        };
        self.lost.fetch_add(1, Ordering::SeqCst);
        // The request's body is a JSON object, and unread bytes would turn every end into a reset.
        let mut request = Vec::new();
        while !request.ends_with(b"}") && caller.read_buf(&mut request).await? > 0 {}
        match trouble {
            Trouble::Refused | Trouble::Closed => Ok(()),
            Trouble::Reset => caller.set_zero_linger(),
            Trouble::Gibberish => caller.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await,
            Trouble::Drip => endless(caller, b" ", Duration::from_millis(20)).await,
            Trouble::Flood => endless(caller, &vec![b' '; 1024 * 1024], Duration::ZERO).await,
        }
    }
}

/// An answer that never ends, until its reader leaves.
async fn endless(mut caller: TcpStream, piece: &[u8], pause: Duration) -> std::io::Result<()> {
    caller.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\n\r\n").await?;
    loop {
        caller.write_all(piece).await?;
        tokio::time::sleep(pause).await;
    }
}
