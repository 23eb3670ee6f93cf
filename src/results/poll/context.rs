//! What all polls of this replica share, and the registry of running polls.

use super::{
    subscribers::{Position, Subscribers},
    subscription::{Progress, Subscription},
};
use crate::{
    client::ClientKey,
    rekognition::Rekognition,
    results::{
        cache::{Cache, CacheLimits},
        limiter::Limiter,
        metrics::ResultsMetrics,
        shared_cache::SharedCache,
    },
    session::{SessionId, SessionRefKey},
    store::Store,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How results are read and cached.
#[derive(Clone, Copy, Debug)]
pub struct ReaderSettings {
    pub limits: CacheLimits,
    /// The age up to which a status is current, and the least time between two reads of a session.
    pub pending_ttl: Duration,
    /// Whether a session without subscribers is polled until its result is final.
    pub capture: bool,
    /// The HTTP attempts per second that AWS grants to the account. None is unlimited.
    pub rate: Option<f64>,
    /// The number of replicas that divide the rate while there is no shared cache.
    pub replicas: u32,
    /// The server's threshold, at which metrics count verdicts.
    pub min_confidence: Option<f32>,
}

pub struct PollContext {
    pub rekognition: Rekognition,
    pub cache: Cache,
    /// None if replicas do not share results.
    pub shared: Option<Arc<SharedCache>>,
    pub store: Option<Store>,
    /// None if the quota is unlimited.
    pub limiter: Option<Arc<Limiter>>,
    pub settings: ReaderSettings,
    pub metrics: ResultsMetrics,
    pub session_refs: Arc<SessionRefKey>,
    /// Bounds the reads in flight.
    pub reads: Semaphore,
    /// Cancelled when a graceful shutdown begins.
    pub shutdown: CancellationToken,
    /// Cancelled when the drain period is over: reads in flight are aborted.
    pub abort_reads: CancellationToken,
    pub tasks: TaskTracker,
    pub registry: Registry,
}

/// The running polls. Callers subscribe, and polls unregister, under one lock: no caller subscribes
/// to a poll that has ended.
#[derive(Default)]
pub struct Registry(Mutex<HashMap<SessionId, Poll>>);

/// A poll keeps its priority this long after its last subscriber: a client that calls again and
/// again has no subscription between two calls.
const GRACE_PERIOD: Duration = Duration::from_secs(2);

/// The channel from a poll to its subscribers.
#[derive(Clone)]
pub struct Poll {
    pub progress: watch::Sender<Progress>,
    /// Notifies the poll task of each new subscriber.
    pub subscribed: Arc<Notify>,
    pub subscribers: Arc<Subscribers>,
}

impl Poll {
    pub fn subscribe(&self, client: &ClientKey) -> Subscription {
        self.subscribe_at(self.subscribers.add(client))
    }

    pub fn subscribe_at(&self, position: Position) -> Subscription {
        let progress = self.progress.subscribe();
        self.subscribed.notify_one();
        Subscription { progress, _position: position }
    }

    /// Completes when a poll has got its first subscriber, or had none for [`GRACE_PERIOD`];
    /// `had_any` says which of the two can come next.
    pub async fn subscribers_changed(self, had_any: bool) {
        if !had_any {
            return self.subscribed.notified().await;
        }
        loop {
            self.progress.closed().await;
            tokio::select! {
                () = tokio::time::sleep(GRACE_PERIOD) => return,
                () = self.subscribed.notified() => {}
            }
        }
    }
}

impl Registry {
    pub fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Poll>> {
        self.0.lock().expect("no code panics under this lock")
    }

    pub fn remove(&self, id: SessionId) {
        self.lock().remove(&id);
    }

    /// Removes a poll that has no subscribers. Returns whether it did.
    pub fn remove_unsubscribed(&self, id: SessionId) -> bool {
        let mut polls = self.lock();
        let is_unsubscribed = polls.get(&id).is_none_or(|poll| poll.progress.receiver_count() == 0);
        if is_unsubscribed {
            polls.remove(&id);
        }
        is_unsubscribed
    }
}
