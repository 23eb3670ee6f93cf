//! A connection that has passed the handshake, as tonic serves it.

use super::limit::ConnectionPermit;
use crate::client::Peer;
use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tokio_util::{either::Either, task::AbortOnDropHandle};
use tonic::transport::server::Connected;

/// The first bytes of an HTTP/2 client (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How many bytes are read until the requests in them have been served. HTTP/2 reads until nothing
/// is left, and opens every stream on the way: until its headers have been checked, a byte of
/// compressed headers takes about 80 bytes of memory.
const READ_QUANTUM: usize = 2 * 1024;

/// Plaintext or TLS. An enum, so that no read needs dynamic dispatch; boxed, since a TLS stream has
/// some kilobytes.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection with its permit, which it returns when it is dropped.
pub struct Connection {
    /// Bytes that the handshake has read, and that tonic has not.
    read_ahead: &'static [u8],
    stream: Stream,
    peer: Arc<Peer>,
    /// Ends the connection, with all requests on it.
    lifetime: Option<Pin<Box<Sleep>>>,
    /// Bytes of the quantum that have been read.
    read: usize,
    /// The pause after a quantum.
    pause: Option<AbortOnDropHandle<()>>,
    _permit: ConnectionPermit,
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        read_ahead: &'static [u8],
        peer: Peer,
        permit: ConnectionPermit,
        max_lifetime: Option<Duration>,
    ) -> Self {
        Self {
            read_ahead,
            stream,
            peer: Arc::new(peer),
            lifetime: max_lifetime.map(|max_lifetime| Box::pin(sleep(max_lifetime))),
            read: 0,
            pause: None,
            _permit: permit,
        }
    }

    /// Returns an error once the connection is closed or its lifetime is over. Reads and writes check
    /// first, which also registers their waker for the end of the lifetime.
    fn check_open(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.peer.is_closed() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let is_over = |lifetime: &mut Pin<Box<Sleep>>| lifetime.as_mut().poll(context).is_ready();
        match self.lifetime.as_mut().is_some_and(is_over) {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Arc<Peer>;

    fn connect_info(&self) -> Self::ConnectInfo {
        Arc::clone(&self.peer)
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_open(context)?;
        if !this.read_ahead.is_empty() {
            return Pin::new(&mut this.read_ahead).poll_read(context, buffer);
        }
        if this.read >= READ_QUANTUM {
            // A task that yields runs after the tasks of the streams that were opened. The connection
            // cannot yield itself: each response wakes it before the next stream is served.
            this.pause = Some(AbortOnDropHandle::new(tokio::spawn(tokio::task::yield_now())));
            this.read = 0;
        }
        if let Some(pause) = &mut this.pause {
            ready!(Pin::new(pause).poll(context)).ok();
            this.pause = None;
        }
        let mut quantum = [const { MaybeUninit::uninit() }; READ_QUANTUM];
        let size = buffer.remaining().min(READ_QUANTUM - this.read);
        let mut part = ReadBuf::uninit(&mut quantum[..size]);
        let read = Pin::new(&mut this.stream).poll_read(context, &mut part);
        buffer.put_slice(part.filled());
        this.read += part.filled().len();
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_open(context)?;
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_open(context)?;
        Pin::new(&mut this.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
