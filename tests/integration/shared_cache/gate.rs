//! A way to the store that can be shut for one replica alone.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

pub struct Gate {
    pub url: String,
    _ways: JoinSet<()>,
}

impl Gate {
    /// A way to that port, until it is dropped.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("redis://{}", listener.local_addr().expect("a bound socket has an address"));
        let mut ways = JoinSet::new();
        ways.spawn(async move {
            // Dropped with this task, and so is every connection.
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await.expect("the store listens");
                    copy_bidirectional(&mut near, &mut far).await.ok();
                });
            }
        });
        Self { url, _ways: ways }
    }
}
