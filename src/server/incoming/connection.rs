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
        let fitting = &left[..left.len().min(buffer.remaining())];
        buffer.put_slice(fitting);
        let any = !left.is_empty();
        self.given += fitting.len();
        any
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

    /// An error from its end on. Whoever reads or writes asks first, and so is woken at the end.
    fn check_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.peer.is_closed() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let is_over = |end: &mut Pin<Box<Sleep>>| end.as_mut().poll(context).is_ready();
        match self.end.as_mut().is_some_and(is_over) {
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
        this.check_end(context)?;
        if this.first.give(buffer) {
            return Poll::Ready(Ok(()));
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
        let read = match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(context, &mut part),
            Io::Tls(stream) => Pin::new(stream).poll_read(context, &mut part),
        };
        buffer.put_slice(part.filled());
        this.read += part.filled().len();
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_end(context)?;
        match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_end(context)?;
        match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
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
