//! The clients that wait for a poll. Each has a position in the queue of the rate limiter.

use crate::{
    client::ClientKey,
    results::limiter::{Limiter, Queued},
};
use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// The clients of a poll's subscribers.
pub struct Subscribers {
    limiter: Option<Arc<Limiter>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Each client with the number of its subscribers. The last client stays when it has none, as
    /// the poll does.
    clients: Vec<(ClientKey, usize)>,
    /// The number of the last ticket of a first read.
    ticket: Option<u64>,
}

/// A client's position, which it leaves when this is dropped.
pub struct Position {
    subscribers: Arc<Subscribers>,
    client: ClientKey,
}

impl Subscribers {
    pub fn new(limiter: Option<&Arc<Limiter>>) -> Arc<Self> {
        Arc::new(Self { limiter: limiter.cloned(), state: Mutex::default() })
    }

    pub fn add(self: &Arc<Self>, client: &ClientKey) -> Position {
        let mut state = self.lock();
        match state.clients.iter_mut().find(|(other, _)| other == client) {
            Some((_, count)) => *count += 1,
            None => {
                state.clients.push((client.clone(), 1));
                if let (Some(limiter), Some(ticket)) = (&self.limiter, state.ticket) {
                    limiter.join(ticket, client);
                }
                state
                    .clients
                    .iter()
                    .position(|(_, count)| *count == 0)
                    .inspect(|index| self.remove(&mut state, *index));
            }
        }
        Position { subscribers: Arc::clone(self), client: client.clone() }
    }

    /// Queues the first read at the position of each client.
    pub fn queue_first_read(&self, limiter: &Arc<Limiter>, is_ready: bool) -> Queued {
        let mut state = self.lock();
        let clients: Vec<_> = state.clients.iter().map(|(client, _)| client.clone()).collect();
        let queued = limiter.queue_first_read(&clients, is_ready);
        state.ticket = Some(queued.number);
        queued
    }

    /// Returns how long the first read still waits if this client waits for it too. None if it is
    /// not in the queue.
    pub fn delay(&self, client: &ClientKey) -> Option<Duration> {
        let ticket = self.lock().ticket?;
        self.limiter.as_ref()?.delay_of(ticket, client)
    }

    fn remove(&self, state: &mut State, index: usize) {
        let (client, _) = state.clients.swap_remove(index);
        if let (Some(limiter), Some(ticket)) = (&self.limiter, state.ticket) {
            limiter.leave(ticket, &client);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics under this lock")
    }
}

impl Drop for Position {
    fn drop(&mut self) {
        let mut state = self.subscribers.lock();
        let Some(index) = state.clients.iter().position(|(other, _)| *other == self.client) else { return };
        state.clients[index].1 -= 1;
        if state.clients[index].1 == 0 && state.clients.len() > 1 {
            self.subscribers.remove(&mut state, index);
        }
    }
}
