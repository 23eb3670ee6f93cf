//! The connections of a port. Each is accepted, counted, and passes its handshake in a task of its
//! own, so that tonic gets only connections that speak HTTP.
//!
//! Requests are not known here, nor the response that the services give above the limit.

mod connection;
mod handshake;
mod limit;

pub use connection::Connection;
pub use handshake::Protocol;
pub use limit::{CloseReason, Connections, Limits};

use super::tls::Tls;
use crate::client::{ClientKey, Shares};
use handshake::Handshake;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, Sleep},
};
use tokio_stream::Stream;

/// Without a pause, accepting would spin when file descriptors are exhausted: it fails at once
/// until a connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A condition that lasts is logged once in this period.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// The stream of connections that tonic serves. It never ends and yields no error. Dropping it
/// closes the port and aborts the handshakes.
pub struct Incoming {
    listener: TcpListener,
    tls: Option<Tls>,
    protocol: Protocol,
    limits: Limits,
    connections: Connections,
    shares: Arc<Shares>,
    handshakes: JoinSet<Option<Connection>>,
    pause: Option<Pin<Box<Sleep>>>,
    accept_log: LogThrottle,
    limit_log: LogThrottle,
}

impl Incoming {
    /// Accepts connections from `listener`; plaintext without `tls`.
    pub fn new(
        listener: TcpListener,
        tls: Option<Tls>,
        protocol: Protocol,
        limits: Limits,
        shares: Arc<Shares>,
    ) -> Self {
        Self {
            listener,
            tls,
            protocol,
            limits,
            connections: Connections::new(limits),
            shares,
            handshakes: JoinSet::new(),
            pause: None,
            accept_log: LogThrottle::default(),
            limit_log: LogThrottle::default(),
        }
    }

    /// Returns the counts of this port's connections. They outlive the stream.
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    fn admit(&mut self, stream: TcpStream, address: SocketAddr) {
        if self.connections.is_full() && self.limit_log.is_due() {
            let limit = self.limits.hard_limit();
            match self.limits.evicts_oldest {
                true => tracing::warn!(limit, "too many connections of the admin port: the oldest are closed"),
                false => tracing::warn!(limit, "too many connections: new ones are closed until others end"),
            }
        }
        let Some(permit) = self.connections.admit(ClientKey::of_address(address.ip())) else { return };
        // This fails only if the peer has left, which the first read finds.
        stream.set_nodelay(true).ok();
        let handshake = Handshake {
            tls: self.tls.as_ref().map(Tls::config),
            protocol: self.protocol,
            limits: self.limits,
            connections: self.connections.clone(),
            shares: Arc::clone(&self.shares),
        };
        self.handshakes.spawn(handshake.run(stream, address, permit));
    }

    fn accept_failed(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        // These concern one connection. The next may succeed.
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return;
        }
        if self.accept_log.is_due() {
            tracing::warn!(%error, "cannot accept connections; is the limit of open files too low?");
        }
        self.pause = Some(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match this.handshakes.poll_join_next(context) {
                Poll::Ready(Some(Ok(Some(connection)))) => return Poll::Ready(Some(Ok(connection))),
                // The handshake failed.
                Poll::Ready(Some(_)) => continue,
                Poll::Ready(None) | Poll::Pending => {}
            }
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(context));
                this.pause = None;
            }
            if let Some(next) = this.connections.next_eviction() {
                this.pause = Some(Box::pin(tokio::time::sleep_until(next)));
                continue;
            }
            match ready!(this.listener.poll_accept(context)) {
                Ok((stream, address)) => this.admit(stream, address),
                Err(error) => this.accept_failed(&error),
            }
        }
    }
}

/// Limits a log line to one per [`LOG_PERIOD`].
#[derive(Default)]
struct LogThrottle {
    last: Option<Instant>,
}

impl LogThrottle {
    fn is_due(&mut self) -> bool {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= LOG_PERIOD);
        if is_due {
            self.last = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio_stream::StreamExt;

    async fn incoming() -> (Incoming, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (Incoming::new(listener, None, Protocol::Http2, Limits::default(), Shares::of_tests()), address)
    }

    async fn send_preface(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.writable().await.unwrap();
        assert_eq!(stream.try_write(connection::PREFACE).unwrap(), connection::PREFACE.len());
        stream
    }

    #[tokio::test]
    async fn exhausted_file_descriptors_pause_the_stream_and_do_not_end_it() {
        let (mut incoming, address) = incoming().await;
        let _client = send_preface(address).await;
        let failed = Instant::now();
        incoming.accept_failed(&io::Error::from_raw_os_error(24));
        incoming.next().await.unwrap().unwrap();
        assert!(failed.elapsed() >= ACCEPT_PAUSE);
    }

    #[tokio::test]
    async fn an_aborted_connection_does_not_delay_the_next() {
        let (mut incoming, address) = incoming().await;
        let _client = send_preface(address).await;
        incoming.accept_failed(&io::ErrorKind::ConnectionAborted.into());
        assert!(incoming.pause.is_none());
        incoming.next().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_dropped_stream_aborts_its_handshakes() {
        let (mut incoming, address) = incoming().await;
        let connections = incoming.connections();
        let silent = TcpStream::connect(address).await.unwrap();
        std::future::poll_fn(|context| {
            assert!(Pin::new(&mut incoming).poll_next(context).is_pending());
            if connections.live() == 1 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(incoming);
        silent.readable().await.unwrap();
        assert!(matches!(silent.try_read(&mut [0]), Ok(0) | Err(_)));
        assert_eq!(connections.live(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_line_is_logged_once_in_each_period() {
        let mut throttle = LogThrottle::default();
        assert_eq!([throttle.is_due(), throttle.is_due()], [true, false]);
        tokio::time::advance(LOG_PERIOD).await;
        assert_eq!([throttle.is_due(), throttle.is_due()], [true, false]);
    }

    #[test]
    fn the_hard_limit_is_a_tenth_and_sixteen_above_the_limit() {
        let hard = |max_connections| Limits { max_connections, ..Limits::default() }.hard_limit();
        assert_eq!([hard(0), hard(1), hard(10_000), hard(usize::MAX)], [16, 17, 11_016, usize::MAX]);
    }
}
