//! A TCP proxy to Redis for one replica. Dropping it cuts that replica off.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

pub struct RedisProxy {
    pub url: String,
    _tasks: JoinSet<()>,
}

impl RedisProxy {
    /// Forwards connections to this port of loopback until it is dropped.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("redis://{}", listener.local_addr().expect("a bound socket has an address"));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Dropped with this task, which closes every connection.
            let mut connections = JoinSet::new();
            while let Ok((mut replica, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut redis = TcpStream::connect(("127.0.0.1", port)).await.expect("Redis listens");
                    copy_bidirectional(&mut replica, &mut redis).await.ok();
                });
            }
        });
        Self { url, _tasks: tasks }
    }
}
