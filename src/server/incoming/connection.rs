//! A connection that is ready to be served.

use super::{opening::PREFACE, places::Place};
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
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::server::Connected;

/// How many bytes are read until the requests in them have been served. HTTP/2 reads until nothing
/// is left, and opens every stream on the way: until its headers have been checked, a byte of
/// compressed headers takes about 80 bytes of memory.
const READ_QUANTUM: usize = 2 * 1024;

/// A connection with its place among the others, which it gives back when it is dropped.
pub struct Connection {
    first: FirstBytes,
    io: Io,
    peer: Arc<Peer>,
    /// When it is cut off, whatever is under way on it.
    end: Option<Pin<Box<Sleep>>>,
    /// Bytes that have been read of the quantum.
    read: usize,
    /// The pause after a quantum.
    pause: Option<AbortOnDropHandle<()>>,
    _place: Place,
}

/// Two known kinds, so that no read goes through a table of functions.
pub(super) enum Io {
    Plain(TcpStream),
    /// In a box, since it is some kilobytes.
    Tls(Box<TlsStream<TcpStream>>),
}

/// What was read to look at, and has to be read again.
#[derive(Clone, Copy)]
pub(super) struct FirstBytes {
    pub(super) bytes: [u8; PREFACE.len()],
    pub(super) given: usize,
    pub(super) filled: usize,
}

impl FirstBytes {
    /// Gives what fits; false when nothing was left.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let left = &self.bytes[self.given..self.filled];
        if left.is_empty() {
            return false;
        }
        let fitting = &left[..left.len().min(buffer.remaining())];
        buffer.put_slice(fitting);
        self.given += fitting.len();
        true
    }
}

impl Connection {
    pub(super) fn new(io: Io, first: FirstBytes, peer: Peer, place: Place, longest: Option<Duration>) -> Self {
        Self {
            first,
            io,
            peer: Arc::new(peer),
            end: longest.map(|longest| Box::pin(sleep(longest))),
            read: 0,
            pause: None,
            _place: place,
        }
    }

    /// Fails once the connection is closed or its time is over. What is pending is woken then.
    fn or_end<T>(&mut self, io: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.peer.is_closed() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let (Poll::Pending, Some(end)) = (&io, &mut self.end) {
            ready!(end.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        io
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
        if this.first.give(buffer) {
            return Poll::Ready(Ok(()));
        }
        let read = this.poll_read_quantum(context, buffer);
        this.or_end(read, context)
    }
}

impl Connection {
    fn poll_read_quantum(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read >= READ_QUANTUM {
            // A task that yields runs after the tasks of the streams that were opened. The connection
            // cannot yield itself: each response wakes it before the next stream is served.
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
        ready!(match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(context, &mut part),
            Io::Tls(stream) => Pin::new(stream).poll_read(context, &mut part),
        })?;
        buffer.put_slice(part.filled());
        self.read += part.filled().len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        this.or_end(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        };
        this.or_end(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(context),
            Io::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_are_given_once_and_in_order_whatever_fits() {
        for size in 1..=30 {
            let mut first = FirstBytes { bytes: *PREFACE, given: 0, filled: 20 };
            let mut read = Vec::new();
            loop {
                let mut memory = vec![0; size];
                let mut buffer = ReadBuf::new(&mut memory);
                if !first.give(&mut buffer) {
                    break assert!(buffer.filled().is_empty());
                }
                read.extend_from_slice(buffer.filled());
            }
            assert_eq!(read, PREFACE[..20], "{size} bytes at a time");
        }
    }

    #[test]
    fn what_the_buffer_holds_already_stays() {
        let mut first = FirstBytes { bytes: *PREFACE, given: 0, filled: 3 };
        let mut memory = [0; 4];
        let mut buffer = ReadBuf::new(&mut memory);
        buffer.put_slice(b"x");
        assert!(first.give(&mut buffer));
        assert_eq!(buffer.filled(), b"xPRI");
    }
}
