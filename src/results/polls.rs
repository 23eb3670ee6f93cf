//! The shared polls: at most one per unfinished session, for all who ask for it.
//!
//! Who asks joins the session's poll, or starts one; what the poll learns reaches all of them at
//! the same moment. A poll ends when nobody is interested and nothing is left to capture; whether
//! that is so is decided under the lock that callers join under, so that nobody ever joins a poll
//! that has ended.

use super::{
    ReaderSettings, SessionResponse,
    cache::Cache,
    interest::{Interest, Presence},
    limiter::{Limiter, SharedQuota},
    metrics::ResultsMetrics,
    poll::PollTask,
    shared_cache::{self, SharedCache},
};
use crate::{
    error::{Error, Reason},
    rekognition::Rekognition,
    session::{SessionId, SessionRefKey},
    store::Store,
    telemetry::metrics::Registry,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Far more unfinished sessions than any account may have (AWS allows 75 at once), and still a
/// bound.
const MAX_POLLS: usize = 10_000;

/// An answer of AWS is up to 1.4 MB, and twice that while it is decoded. AWS's quota and a sound
/// AWS keep it far below; without a limiter, or under an AWS that hangs, this does.
const MAX_READS: usize = 128;

/// What a poll has learned so far.
#[derive(Clone, Default)]
pub struct Progress {
    /// The latest state of a session that has not ended.
    pub last: Option<SessionResponse>,
    /// How the read after that failed; nothing when it did not.
    pub failure: Option<Failure>,
    /// The answer that ends the poll for all.
    pub end: Option<Result<SessionResponse, Error>>,
}

/// A read that failed for a reason that may pass.
#[derive(Clone)]
pub struct Failure {
    pub error: Error,
    pub at: Instant,
    pub says: Says,
}

/// Who is answered with a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Nobody while there is time: AWS throttles, and the limiter gets through in the end.
    Wait,
    /// Who wants the state now: it may pass for those who wait.
    Now,
    /// All: the same read would fail again.
    All,
}

/// All that polls share.
pub struct Polls {
    pub rekognition: Rekognition,
    pub cache: Cache,
    /// What replicas share, and where; nothing when they do not.
    pub shared: Option<Arc<SharedCache>>,
    pub store: Option<Store>,
    /// Nothing when the quota is unlimited.
    pub limiter: Option<Arc<Limiter>>,
    pub settings: ReaderSettings,
    pub metrics: ResultsMetrics,
    pub session_refs: Arc<SessionRefKey>,
    /// Places for reads under way.
    pub reads: Semaphore,
    /// A stop has begun, and later: not even reads under way are waited for.
    pub stopping: CancellationToken,
    pub giving_up: CancellationToken,
    pub tasks: TaskTracker,
    under_way: Mutex<HashMap<SessionId, Entry>>,
}

/// A poll as callers see it.
struct Entry {
    progress: watch::Receiver<Progress>,
    interest: Arc<Interest>,
    /// When the first read is expected to have its token.
    first_read: Instant,
}

/// A caller's part in a poll, until it is dropped.
pub struct Subscription {
    pub progress: watch::Receiver<Progress>,
    _presence: Presence,
}

/// What is known of a session when its poll starts.
pub enum Start {
    /// Nothing.
    Unread,
    /// A state, of a session that has not ended.
    Unfinished(SessionResponse),
    /// That it has ended: only its images are wanted.
    Ended(SessionResponse),
    /// That AWS did not know it then.
    NotFound(Instant),
}

impl Polls {
    pub fn new(
        rekognition: Rekognition,
        settings: ReaderSettings,
        shared: Option<(Store, shared_cache::Settings)>,
        registry: &Registry,
        session_refs: Arc<SessionRefKey>,
    ) -> Self {
        let metrics = ResultsMetrics::new(registry);
        let (store, shared) = shared.unzip();
        let quota = |rate| store.clone().map(|store| SharedQuota::new(store, rate, rekognition.region()));
        let limiter = settings.rate.map(|rate| Limiter::new(rate / f64::from(settings.replicas), quota(rate)));
        let share = |shared, store: &Store| {
            Arc::new(SharedCache::new(store.clone(), shared, settings.limits, metrics.shared_cache_lookups.clone()))
        };
        Self {
            cache: Cache::new(settings.limits, registry),
            limiter: limiter.map(Arc::new),
            shared: shared.zip(store.as_ref()).map(|(shared, store)| share(shared, store)),
            store,
            rekognition,
            settings,
            metrics,
            session_refs,
            reads: Semaphore::new(MAX_READS),
            stopping: CancellationToken::new(),
            giving_up: CancellationToken::new(),
            tasks: TaskTracker::new(),
            under_way: Mutex::default(),
        }
    }

    /// Joins the poll of a session, or starts one that knows what `start` says and reads no sooner
    /// than `earliest`.
    ///
    /// # Errors
    /// QUOTA_EXHAUSTED when the session was never read and has no turn before `respond_by`;
    /// OVERLOADED; SHUTTING_DOWN.
    pub fn join(
        self: &Arc<Self>,
        id: SessionId,
        start: Start,
        earliest: Option<Instant>,
        respond_by: Instant,
    ) -> Result<Subscription, Error> {
        let now = Instant::now();
        let mut under_way = self.lock();
        if let Some(entry) = under_way.get(&id) {
            if entry.progress.borrow().last.is_none() && entry.first_read > respond_by {
                return Err(Error::quota_exhausted(entry.first_read - now));
            }
            self.metrics.polls_shared.inc();
            return Ok(entry.admit());
        }
        if self.stopping.is_cancelled() {
            return Err(Error::new(Reason::ShuttingDown));
        }
        if under_way.len() >= MAX_POLLS {
            return Err(Error::new(Reason::Overloaded));
        }
        // The place in the queue is taken here and now, so that the next caller's estimate knows of
        // it.
        let (delay, place) = match &self.limiter {
            Some(limiter) if matches!(start, Start::Unread) && earliest.is_none_or(|earliest| earliest <= now) => {
                (limiter.first_read_delay(), Some(limiter.queue_first_read(self.shared.is_none())))
            }
            _ => (Duration::ZERO, None),
        };
        if !delay.is_zero() && now + delay > respond_by {
            return Err(Error::quota_exhausted(delay));
        }
        let last = match &start {
            Start::Unfinished(answer) => Some(answer.clone()),
            Start::Unread | Start::Ended(_) | Start::NotFound(_) => None,
        };
        let (publish, progress) = watch::channel(Progress { last, ..Progress::default() });
        let entry = Entry { progress, interest: Arc::default(), first_read: now + delay };
        let subscription = entry.admit();
        let task = PollTask::new(id, Arc::clone(self), publish, Arc::clone(&entry.interest), start, earliest, place);
        under_way.insert(id, entry);
        self.tasks.spawn(task.run());
        Ok(subscription)
    }

    /// Takes a poll out, unless `wanted_still` finds that somebody has come meanwhile.
    pub fn leave(&self, id: SessionId, wanted_still: impl FnOnce() -> bool) -> bool {
        let mut under_way = self.lock();
        let leaves = !wanted_still();
        if leaves {
            under_way.remove(&id);
        }
        leaves
    }

    /// Whether a session is polled.
    pub fn polls(&self, id: SessionId) -> bool {
        self.lock().contains_key(&id)
    }

    /// How many sessions are polled.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Entry>> {
        self.under_way.lock().expect("nothing panics under this lock")
    }
}

impl Entry {
    fn admit(&self) -> Subscription {
        Subscription { progress: self.progress.clone(), _presence: Presence::new(&self.interest) }
    }
}
