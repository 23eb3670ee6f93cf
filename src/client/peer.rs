//! The peer of a connection.

use super::Client;
use futures_util::task::AtomicWaker;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    task::Waker,
};

/// The peer of a connection. A request has it in its extensions, as `Arc<Peer>`.
pub struct Peer {
    pub address: SocketAddr,
    /// The names in its verified certificate, URIs first; none without mutual TLS. At most 16 of at
    /// most 256 bytes.
    pub names: Vec<String>,
    /// The client with the first name, or else at the address.
    pub client: Arc<Client>,
    is_over_limit: Box<dyn Fn() -> bool + Send + Sync>,
    is_closed: AtomicBool,
    connection: AtomicWaker,
}

impl Peer {
    /// `is_over_limit` returns whether the connection exceeds the connection limit now.
    pub fn new(
        address: SocketAddr,
        names: Vec<String>,
        client: Arc<Client>,
        is_over_limit: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let (is_closed, connection) = (AtomicBool::new(false), AtomicWaker::new());
        Self { address, names, client, is_over_limit: Box::new(is_over_limit), is_closed, connection }
    }

    /// Closes the connection: wakes its task, whose next read or write fails.
    pub fn close(&self) {
        self.is_closed.store(true, Release);
        self.connection.wake();
    }

    /// Lets [`Peer::close`] wake this task. Check [`Peer::is_closed`] afterwards.
    pub fn wake_on_close(&self, connection: &Waker) {
        self.connection.register(connection);
    }

    /// Whether [`Peer::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Acquire)
    }

    /// Whether calls on this connection are rejected because there are too many connections.
    pub fn is_over_limit(&self) -> bool {
        (self.is_over_limit)()
    }
}
