//! The circuit breaker of the store: whether commands are sent, and on which connection.

use super::error::StoreError;
use prometheus::IntGauge;
use redis::aio::MultiplexedConnection;
use tokio::sync::watch;

/// The number of timeouts in a row that opens the breaker. Fewer can be a pause of the network.
const MAX_TIMEOUTS: u32 = 3;

pub struct Breaker {
    /// Host and port, for the log.
    address: String,
    /// 1 while the store is read and written, else 0.
    up: IntGauge,
    link: watch::Sender<Link>,
}

struct Link {
    state: LinkState,
    connection: Option<MultiplexedConnection>,
    /// The number of the connection. A late failure of an earlier one does not count.
    epoch: u64,
    /// Timeouts in a row.
    timeouts: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LinkState {
    /// Before the first attempt to connect.
    Unknown,
    Up,
    /// The store is read and not written.
    ReadOnly,
    Down,
}

impl Breaker {
    pub fn new(address: String, up: IntGauge) -> Self {
        let link = Link { state: LinkState::Unknown, connection: None, epoch: 0, timeouts: 0 };
        Self { address, up, link: watch::Sender::new(link) }
    }

    /// Returns the connection and its epoch, unless the breaker is open for this command.
    pub fn connection(&self, is_write: bool) -> Option<(u64, MultiplexedConnection)> {
        let link = self.link.borrow();
        let connection = link.connection.clone().filter(|_| link.state == LinkState::Up || !is_write)?;
        Some((link.epoch, connection))
    }

    pub fn is_up(&self) -> bool {
        self.link.borrow().state == LinkState::Up
    }

    /// Records a command that succeeded.
    pub fn succeeded(&self, epoch: u64) {
        self.link.send_if_modified(|link| {
            if link.epoch == epoch {
                link.timeouts = 0;
            }
            false
        });
    }

    /// Records a command that failed. Opens the breaker, except after the first timeouts.
    pub fn failed(&self, epoch: u64, error: StoreError) {
        self.link.send_if_modified(|link| {
            if link.epoch != epoch || link.connection.is_none() {
                return false;
            }
            link.timeouts = if error == StoreError::TimedOut { link.timeouts + 1 } else { 0 };
            match error {
                StoreError::TimedOut if link.timeouts < MAX_TIMEOUTS => return false,
                StoreError::ReadOnly(_) => link.state = self.changed(link.state, LinkState::ReadOnly, Some(error)),
                _ => {
                    link.connection = None;
                    link.state = self.changed(link.state, LinkState::Down, Some(error));
                }
            }
            true
        });
    }

    /// Records an attempt to connect: a connection, with the reason if it is read-only, or the
    /// failure.
    pub fn connected(&self, attempt: Result<(MultiplexedConnection, Option<StoreError>), StoreError>) {
        let (connection, state, error) = match attempt {
            Ok((connection, None)) => (Some(connection), LinkState::Up, None),
            Ok((connection, error)) => (Some(connection), LinkState::ReadOnly, error),
            Err(error) => (None, LinkState::Down, Some(error)),
        };
        self.link.send_modify(|link| {
            let state = self.changed(link.state, state, error);
            *link = Link { state, connection, epoch: link.epoch + 1, timeouts: 0 };
        });
    }

    /// Completes when the store is not up.
    pub async fn tripped(&self) {
        self.link.subscribe().wait_for(|link| link.state != LinkState::Up).await.ok();
    }

    /// Completes after the first attempt to connect.
    pub async fn tried(&self) {
        self.link.subscribe().wait_for(|link| link.state != LinkState::Unknown).await.ok();
    }

    /// Returns the new state. Logs a change, under the lock of the link: in the order of changes.
    fn changed(&self, old: LinkState, new: LinkState, error: Option<StoreError>) -> LinkState {
        self.up.set((new == LinkState::Up).into());
        let (store, why) = (&self.address, error.map(|error| error.to_string()));
        match new {
            _ if new == old => {}
            LinkState::Up => tracing::info!(%store, "the shared cache is available"),
            LinkState::ReadOnly => {
                tracing::warn!(%store, why, "the shared cache is read-only; this replica does not share what it reads");
            }
            _ => {
                tracing::warn!(%store, why, "the shared cache is unavailable; this replica uses its own cache and AWS");
            }
        }
        new
    }
}
