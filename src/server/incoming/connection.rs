//! A connection that has passed the handshake, as tonic serves it.

use super::limit::{ConnectionPermit, Limits};
use crate::client::Peer;
use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tokio_util::{either::Either, sync::WaitForCancellationFutureOwned, task::AbortOnDropHandle};
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
    /// Ends it when a newer connection needs the permit. None on a port that evicts none.
    evicted: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// The task that [`Peer::close`] wakes.
    waker: Option<Waker>,
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
        limits: Limits,
    ) -> Self {
        Self {
            read_ahead,
            stream,
            peer: Arc::new(peer),
            lifetime: limits.max_lifetime.map(|max_lifetime| Box::pin(sleep(max_lifetime))),
            evicted: limits.evicts_oldest.then(|| Box::pin(permit.evicted.clone().cancelled_owned())),
            waker: None,
            read: 0,
            pause: None,
            _permit: permit,
        }
    }

    /// Returns the result of a read or a write, or an error once the connection is closed or
    /// evicted, or its lifetime is over. If it is pending, each of these wakes it.
    fn while_open<T>(&mut self, result: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if result.is_pending() && !self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
            self.peer.wake_on_close(context.waker());
        }
        if self.peer.is_closed() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let (Poll::Pending, Some(evicted)) = (&result, &mut self.evicted)
            && evicted.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let (Poll::Pending, Some(lifetime)) = (&result, &mut self.lifetime) {
            ready!(lifetime.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        result
    }

    fn poll_read_quantum(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read >= READ_QUANTUM {
            // A task that yields runs after the tasks of the streams that were opened. The
            // connection cannot yield itself: each response wakes it before the next stream is
            // served.
            self.pause = Some(AbortOnDropHandle::new(tokio::spawn(tokio::task::yield_now())));
            self.read = 0;
        }
        if let Some(pause) = &mut self.pause {
            ready!(Pin::new(pause).poll(context)).ok();
            self.pause = None;
        }
        let mut quantum = [const { MaybeUninit::uninit() }; READ_QUANTUM];
        let size = buffer.remaining().min(READ_QUANTUM - self.read);
        let mut part = ReadBuf::uninit(&mut quantum[..size]);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        buffer.put_slice(part.filled());
        self.read += part.filled().len();
        Poll::Ready(Ok(()))
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
        if !this.read_ahead.is_empty() {
            return Pin::new(&mut this.read_ahead).poll_read(context, buffer);
        }
        let read = this.poll_read_quantum(context, buffer);
        this.while_open(read, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.while_open(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.while_open(written, context)
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
