//! The shared polls: at most one per unfinished session, for all who ask for it.
//!
//! Who asks joins the session's poll, or starts one; what the poll learns reaches all of them at the same moment. A poll ends when nobody
//! is interested and nothing is left to capture; whether that is so is decided under the lock that callers join under, so that nobody
//! ever joins a poll that has ended.

use super::{
    Answer, Settings,
    cache::Cache,
    limiter::Limiter,
    poll::{self, Poll},
};
use crate::{
    error::{Error, Reason},
    rekognition::Rekognition,
    session::SessionId,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Far more unfinished sessions than any account may have (AWS allows 75 at once), and still a bound.
const MAX_POLLS: usize = 10_000;

/// Who asks again within this time is taken for a poller, and its session for one that somebody waits for.
const INTEREST: Duration = Duration::from_secs(2);

/// What a poll has learned so far.
#[derive(Clone, Default)]
pub struct Progress {
    /// The latest state of a session that has not ended.
    pub last: Option<Answer>,
    /// How the read after that failed; nothing when it did not.
    pub failure: Option<Failure>,
    /// The answer that ends the poll for all.
    pub end: Option<Result<Answer, Error>>,
}

/// A read that failed for a reason that may pass.
#[derive(Clone)]
pub struct Failure {
    pub error: Error,
    pub at: Instant,
    /// AWS throttles: nobody is answered with it while there is time, since the limiter gets through in the end.
    pub held: bool,
}

/// All that polls share.
pub struct Polls {
    pub rekognition: Rekognition,
    pub cache: Cache,
    /// Nothing when the quota is unlimited.
    pub limiter: Option<Limiter>,
    pub settings: Settings,
    pub stopping: CancellationToken,
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

/// How much a session is wanted. It changes under the lock of the map only, but for callers who leave.
#[derive(Default)]
pub struct Interest {
    callers: Mutex<Callers>,
    /// Tells the poll that somebody asks again.
    pub awakened: Notify,
}

#[derive(Default)]
struct Callers {
    present: usize,
    last_left: Option<Instant>,
}

/// A caller's part in a poll, until it is dropped.
pub struct Membership {
    pub progress: watch::Receiver<Progress>,
    interest: Arc<Interest>,
}

impl Polls {
    pub fn new(rekognition: Rekognition, settings: Settings) -> Self {
        Self {
            rekognition,
            cache: Cache::new(settings.limits),
            limiter: settings.rate.map(Limiter::new),
            settings,
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            under_way: Mutex::default(),
        }
    }

    /// Joins the poll of a session, or starts one that knows what `start` says and reads no sooner than `earliest`.
    ///
    /// # Errors
    /// QUOTA_EXHAUSTED when the session was never read and has no turn before `answer_by`; OVERLOADED; SHUTTING_DOWN.
    pub fn join(
        self: &Arc<Self>,
        id: SessionId,
        start: poll::Start,
        earliest: Option<Instant>,
        answer_by: Instant,
    ) -> Result<Membership, Error> {
        let now = Instant::now();
        let mut under_way = self.lock();
        if let Some(entry) = under_way.get(&id) {
            if entry.progress.borrow().last.is_none() && entry.first_read > answer_by {
                return Err(Error::quota_exhausted(entry.first_read - now));
            }
            return Ok(entry.admit());
        }
        if self.stopping.is_cancelled() {
            return Err(Error::new(Reason::ShuttingDown));
        }
        if under_way.len() >= MAX_POLLS {
            return Err(Error::new(Reason::Overloaded));
        }
        let delay = match &self.limiter {
            Some(limiter) if start.is_first_read() => limiter.first_read_delay(),
            _ => Duration::ZERO,
        };
        if now + delay > answer_by {
            return Err(Error::quota_exhausted(delay));
        }
        let (publish, progress) = watch::channel(Progress { last: start.last(), ..Progress::default() });
        let entry = Entry { progress, interest: Arc::default(), first_read: now + delay };
        let membership = entry.admit();
        let poll = Poll::new(id, Arc::clone(self), publish, Arc::clone(&entry.interest), start, earliest);
        under_way.insert(id, entry);
        self.tasks.spawn(poll.run());
        Ok(membership)
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

    /// How many sessions are polled.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Entry>> {
        self.under_way.lock().expect("nothing panics under this lock")
    }
}

impl Entry {
    fn admit(&self) -> Membership {
        self.interest.lock().present += 1;
        self.interest.awakened.notify_one();
        Membership { progress: self.progress.clone(), interest: Arc::clone(&self.interest) }
    }
}

impl Interest {
    /// Until when the session is wanted for sure; nothing when it is not.
    pub fn until(&self) -> Option<Instant> {
        let callers = self.lock();
        let now = Instant::now();
        match (callers.present, callers.last_left) {
            // A caller may leave right after, and then counts as a poller for a while.
            (1.., _) => Some(now + INTEREST),
            (0, Some(left)) => Some(left + INTEREST).filter(|until| *until > now),
            (0, None) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().expect("nothing panics under this lock")
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut callers = self.interest.lock();
        callers.present -= 1;
        callers.last_left = Some(Instant::now());
    }
}
