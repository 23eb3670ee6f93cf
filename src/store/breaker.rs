//! Whether the store may be asked, and who is told when that changes.

use super::Trouble;
use redis::aio::MultiplexedConnection;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

/// So many questions in a row without an answer in time, and the store is asked no more. One or two
/// are a pause of the network.
const TIMEOUTS: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is known yet.
    Unknown,
    Up,
    /// It is read, and takes no writes.
    ReadOnly,
    Down,
}

pub struct Breaker {
    /// Where the store is, for the log.
    place: String,
    link: Mutex<Link>,
    state: watch::Sender<State>,
    tripped: Notify,
}

struct Link {
    connection: Option<MultiplexedConnection>,
    /// Counts connections: what an old one says does not count against the new one.
    epoch: u64,
    writable: bool,
    timeouts: u32,
}

impl Breaker {
    pub fn new(place: String) -> Self {
        let link = Link { connection: None, epoch: 0, writable: false, timeouts: 0 };
        Self { place, link: Mutex::new(link), state: watch::Sender::new(State::Unknown), tripped: Notify::new() }
    }

    /// The connection, when it may be asked.
    pub fn connection(&self, to_write: bool) -> Option<(u64, MultiplexedConnection)> {
        let link = self.lock();
        let connection = link.connection.clone().filter(|_| link.writable || !to_write)?;
        Some((link.epoch, connection))
    }

    pub fn is_up(&self) -> bool {
        *self.state.borrow() == State::Up
    }

    /// The store has answered.
    pub fn well(&self, epoch: u64) {
        let mut link = self.lock();
        if link.epoch == epoch {
            link.timeouts = 0;
        }
    }

    /// The store has not answered, or not well.
    pub fn failed(&self, epoch: u64, trouble: Trouble) {
        let mut link = self.lock();
        if link.epoch != epoch || link.connection.is_none() {
            return;
        }
        link.timeouts = if trouble == Trouble::TimedOut { link.timeouts + 1 } else { 0 };
        if trouble == Trouble::TimedOut && link.timeouts < TIMEOUTS {
            return;
        }
        let state = match trouble {
            Trouble::ReadOnly(_) => State::ReadOnly,
            _ => {
                link.connection = None;
                State::Down
            }
        };
        link.writable = false;
        self.become_(state, Some(trouble));
        drop(link);
        // Last: whoever is woken looks at the state, and would sleep on for ever if it were still
        // the old one.
        self.tripped.notify_one();
    }

    pub fn connected(&self, connection: MultiplexedConnection, trouble: Option<Trouble>) -> State {
        let mut link = self.lock();
        let writable = trouble.is_none();
        *link = Link { connection: Some(connection), epoch: link.epoch + 1, writable, timeouts: 0 };
        self.become_(if writable { State::Up } else { State::ReadOnly }, trouble)
    }

    pub fn not_connected(&self, trouble: Trouble) -> State {
        let mut link = self.lock();
        (link.connection, link.writable) = (None, false);
        self.become_(State::Down, Some(trouble))
    }

    /// Completes when something has failed since the last time.
    pub async fn tripped(&self) {
        self.tripped.notified().await;
    }

    /// Completes when anything is known of the store.
    pub async fn tried(&self) {
        // The sender is here, so that it cannot be closed.
        self.state.subscribe().wait_for(|state| *state != State::Unknown).await.ok();
    }

    /// Under the lock of the link, so that the last state told is the last that there was.
    fn become_(&self, state: State, trouble: Option<Trouble>) -> State {
        if self.state.send_replace(state) != state {
            let (store, why) = (&self.place, trouble.map(|trouble| trouble.to_string()));
            match (state, why) {
                (State::ReadOnly, Some(why)) => {
                    tracing::warn!(%store, why, "the shared cache takes no writes; each replica keeps what it reads to itself");
                }
                (State::Down, Some(why)) => {
                    tracing::warn!(%store, why, "the shared cache is out of use; results come from this replica's memory and from AWS");
                }
                _ => tracing::info!(%store, "the shared cache is in use"),
            }
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, Link> {
        self.link.lock().expect("nothing panics under this lock")
    }
}
