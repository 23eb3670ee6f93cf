//! The connections of a port: accepted, counted, and opened each in a task of its own, so that
//! tonic meets none that says nothing or something else than HTTP.
//!
//! What is asked on them, and what is answered above the limit, is the services' affair.

mod connection;
mod opening;
mod places;

pub use connection::Connection;
pub use places::{Connections, Refusal};

use super::tls::Tls;
use opening::Opening;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, Sleep},
};
use tokio_stream::Stream;

/// An accept that fails for want of a file descriptor fails again at once, and would spin until
/// some connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What lasts is said again so often, and no more.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(10);

/// What a client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 from the first byte on, as gRPC has it.
    Http2,
    /// Anything: the server looks for itself whether it is HTTP/1 or HTTP/2.
    Any,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many connections are served without reserve. Those above it, up to `hard_limit`, are
    /// served as well and know it:
    /// [`Peer::is_over_limit`](crate::client::Peer::is_over_limit).
    pub max_connections: usize,
    /// How long the TLS handshake may take.
    pub handshake: Duration,
    /// How long the first bytes may take after it.
    pub first_bytes: Duration,
    /// How long a connection may last, whatever is under way on it; for ever without.
    pub longest: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A client of gRPC has one connection for all its calls: so many are a large fleet, or
            // a leak.
            max_connections: 2_000,
            // A handshake is two round trips and a signature; ten seconds leave room for lost
            // packets and a busy machine.
            handshake: Duration::from_secs(10),
            first_bytes: Duration::from_secs(10),
            longest: None,
        }
    }
}

impl Limits {
    /// From so many connections on, a further one is closed at once: a tenth more than the limit,
    /// and some, to be refused politely.
    pub fn hard_limit(&self) -> usize {
        self.max_connections.saturating_add(self.max_connections / 10).saturating_add(16)
    }
}

/// The stream of connections that tonic serves. It never ends and yields no error; dropped, it
/// closes the port and ends what is being opened.
pub struct Incoming {
    listener: TcpListener,
    tls: Option<Tls>,
    protocol: Protocol,
    limits: Limits,
    connections: Connections,
    opening: JoinSet<Option<Connection>>,
    pause: Option<Pin<Box<Sleep>>>,
    failing: Complaint,
    full: Complaint,
}

impl Incoming {
    /// Plain TCP without `tls`.
    pub fn new(listener: TcpListener, tls: Option<Tls>, protocol: Protocol, limits: Limits) -> Self {
        Self {
            listener,
            tls,
            protocol,
            limits,
            connections: Connections::new(limits.max_connections, limits.hard_limit()),
            opening: JoinSet::new(),
            pause: None,
            failing: Complaint::default(),
            full: Complaint::default(),
        }
    }

    /// The counts of this port's connections, for as long as anybody wants them.
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    fn admit(&mut self, stream: TcpStream, address: SocketAddr) {
        let Some(place) = self.connections.admit() else {
            if self.full.is_due() {
                let limit = self.limits.hard_limit();
                tracing::warn!(limit, "too many connections: new ones are closed until others end");
            }
            return;
        };
        // It fails only for a peer that is gone, which the first read finds out.
        stream.set_nodelay(true).ok();
        let opening = Opening {
            tls: self.tls.as_ref().map(Tls::config),
            protocol: self.protocol,
            handshake: self.limits.handshake,
            first_bytes: self.limits.first_bytes,
            longest: self.limits.longest,
        };
        self.opening.spawn(opening.run(stream, address, place));
    }

    fn accept_failed(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        // These are of the one connection, and the next may be sound.
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return;
        }
        if self.failing.is_due() {
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
            match this.opening.poll_join_next(context) {
                Poll::Ready(Some(Ok(Some(connection)))) => return Poll::Ready(Some(Ok(connection))),
                // It was refused.
                Poll::Ready(Some(_)) => continue,
                Poll::Ready(None) | Poll::Pending => {}
            }
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(context));
                this.pause = None;
            }
            match ready!(this.listener.poll_accept(context)) {
                Ok((stream, address)) => this.admit(stream, address),
                Err(error) => this.accept_failed(&error),
            }
        }
    }
}

/// Something that may be logged now and then.
#[derive(Default)]
struct Complaint {
    last: Option<Instant>,
}

impl Complaint {
    fn is_due(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= COMPLAINT_PERIOD);
        if due {
            self.last = Some(Instant::now());
        }
        due
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
        (Incoming::new(listener, None, Protocol::Http2, Limits::default()), address)
    }

    async fn greet(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.writable().await.unwrap();
        assert_eq!(stream.try_write(opening::PREFACE).unwrap(), opening::PREFACE.len());
        stream
    }

    #[tokio::test]
    async fn a_lack_of_file_descriptors_pauses_and_does_not_end() {
        let (mut incoming, address) = incoming().await;
        let _client = greet(address).await;
        let failed = Instant::now();
        incoming.accept_failed(&io::Error::from_raw_os_error(24));
        incoming.next().await.unwrap().unwrap();
        assert!(failed.elapsed() >= ACCEPT_PAUSE);
    }

    #[tokio::test]
    async fn an_aborted_connection_does_not_hold_up_the_next() {
        let (mut incoming, address) = incoming().await;
        let _client = greet(address).await;
        incoming.accept_failed(&io::ErrorKind::ConnectionAborted.into());
        assert!(incoming.pause.is_none());
        incoming.next().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_dropped_stream_ends_what_is_being_opened() {
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
    async fn a_complaint_is_made_now_and_then() {
        let mut complaint = Complaint::default();
        assert_eq!([complaint.is_due(), complaint.is_due()], [true, false]);
        tokio::time::advance(COMPLAINT_PERIOD).await;
        assert_eq!([complaint.is_due(), complaint.is_due()], [true, false]);
    }

    #[test]
    fn there_is_room_to_refuse_politely_above_any_limit() {
        let hard = |max_connections| Limits { max_connections, ..Limits::default() }.hard_limit();
        assert_eq!([hard(0), hard(1), hard(10_000), hard(usize::MAX)], [16, 17, 11_016, usize::MAX]);
    }
}
