//! All sessions, and when the clock of each started.
//!
//! The status of a session is computed when it is read. Insertions delete expired sessions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use crate::session::{Pace, Session, Status, Times};

/// The maximum number of sessions. With AWS's lifetime of three minutes it allows 55 per second,
/// more than the default quota of an account. A session takes about half a kilobyte.
pub const MAX_SESSIONS: usize = 10_000;

/// The minimum time between sweeps, because a sweep visits every session.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What a `CreateFaceLivenessSession` did.
#[derive(Debug, PartialEq)]
pub(crate) enum Creation {
    /// Created a session with this id.
    New(String),
    /// Nothing: the same token had created this session.
    Repeated(String),
    /// Nothing: there are [`MAX_SESSIONS`].
    TooMany,
}

pub(crate) struct Sessions {
    times: Times,
    stored: Mutex<Stored>,
}

struct Stored {
    sessions: HashMap<String, Entry>,
    /// Session ids by `ClientRequestToken`.
    tokens: HashMap<String, String>,
    swept: Instant,
}

struct Entry {
    session: Arc<Session>,
    placed: Instant,
    /// When its clock started. `None` before the first read, with [`Pace::FromFirstRead`].
    started: Option<Instant>,
}

impl Sessions {
    pub fn new(times: Times) -> Self {
        let stored = Stored { sessions: HashMap::new(), tokens: HashMap::new(), swept: Instant::now() };
        Self { times, stored: Mutex::new(stored) }
    }

    /// Creates a session, unless its token has created one that still exists.
    pub fn create(&self, session: Session, token: Option<String>) -> Creation {
        let now = Instant::now();
        let mut stored = self.lock();
        if let Some(id) = token.as_ref().and_then(|token| stored.tokens.get(token))
            && stored.sessions.get(id).is_some_and(|entry| entry.status(now, &self.times).is_some())
        {
            return Creation::Repeated(id.clone());
        }
        stored.sweep(now, &self.times);
        if stored.sessions.len() >= MAX_SESSIONS {
            return Creation::TooMany;
        }
        let id = session.id.clone();
        if let Some(token) = token {
            stored.tokens.insert(token, id.clone());
        }
        stored.insert(session, now);
        Creation::New(id)
    }

    /// Adds or replaces a session. Tests rely on it, so it evicts the oldest instead of failing.
    pub fn place(&self, session: Session) {
        let now = Instant::now();
        let mut stored = self.lock();
        stored.sweep(now, &self.times);
        if stored.sessions.len() >= MAX_SESSIONS && !stored.sessions.contains_key(&session.id) {
            let oldest = stored.sessions.iter().min_by_key(|(_, entry)| entry.placed).map(|(id, _)| id.clone());
            stored.sessions.remove(&oldest.expect("a full map has an oldest entry"));
        }
        stored.insert(session, now);
    }

    /// Returns a session and its status, or `None` if it is unknown or expired.
    pub fn read(&self, id: &str) -> Option<(Arc<Session>, Status)> {
        let now = Instant::now();
        let mut stored = self.lock();
        let entry = stored.sessions.get_mut(id)?;
        entry.started.get_or_insert(now);
        let status = entry.status(now, &self.times)?;
        Some((Arc::clone(&entry.session), status))
    }

    /// Removes all sessions and tokens, and returns the number of sessions.
    pub fn clear(&self) -> usize {
        let mut stored = self.lock();
        stored.tokens.clear();
        std::mem::take(&mut stored.sessions).len()
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().expect("no code panics while it holds this lock")
    }
}

impl Stored {
    fn insert(&mut self, session: Session, now: Instant) {
        let started = if session.pace == Pace::FromFirstRead { None } else { Some(now) };
        self.sessions.insert(session.id.clone(), Entry { session: Arc::new(session), placed: now, started });
    }

    fn sweep(&mut self, now: Instant, times: &Times) {
        if self.sessions.len() < MAX_SESSIONS && now - self.swept < SWEEP_INTERVAL {
            return;
        }
        self.swept = now;
        let Self { sessions, tokens, .. } = self;
        sessions.retain(|_, entry| entry.status(now, times).is_some());
        tokens.retain(|_, id| sessions.contains_key(id));
    }
}

impl Entry {
    fn status(&self, now: Instant, times: &Times) -> Option<Status> {
        let age = self.started.map_or(Duration::ZERO, |started| now - started);
        self.session.status_at(age, times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GONE_AFTER: Duration = Duration::from_secs(180);

    fn sessions() -> Sessions {
        let second = Duration::from_secs(1);
        Sessions::new(Times::new(5 * second, 8 * second, GONE_AFTER, 1.0))
    }

    fn status(sessions: &Sessions, id: &str) -> Option<Status> {
        sessions.read(id).map(|(_, status)| status)
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_follows_the_clock_and_is_deleted_after_its_lifetime() {
        let sessions = sessions();
        sessions.create(Session::new("a"), Some("token".into()));
        assert_eq!(status(&sessions, "a"), Some(Status::Created));
        tokio::time::advance(Duration::from_secs(13)).await;
        assert_eq!(status(&sessions, "a"), Some(Status::Succeeded));
        tokio::time::advance(GONE_AFTER).await;
        assert_eq!(status(&sessions, "a"), None);
        sessions.place(Session::new("b"));
        assert!(!sessions.lock().sessions.contains_key("a"));
        assert!(sessions.lock().tokens.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_can_start_at_the_first_read() {
        let sessions = sessions();
        sessions.place(Session { pace: Pace::FromFirstRead, ..Session::new("a") });
        tokio::time::advance(GONE_AFTER * 2).await;
        assert_eq!(status(&sessions, "a"), Some(Status::Created));
        tokio::time::advance(GONE_AFTER).await;
        assert_eq!(status(&sessions, "a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_returns_its_session_while_it_exists() {
        let sessions = sessions();
        let create = |id: &str| sessions.create(Session::new(id), Some("token".into()));
        assert_eq!(create("a"), Creation::New("a".into()));
        assert_eq!(create("b"), Creation::Repeated("a".into()));
        tokio::time::advance(GONE_AFTER).await;
        assert_eq!(create("c"), Creation::New("c".into()));
        assert_eq!(sessions.clear(), 1);
        assert_eq!(create("d"), Creation::New("d".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_sessions_is_limited() {
        let sessions = sessions();
        let frozen = |id: String| Session { pace: Pace::Frozen(Status::Created), ..Session::new(id) };
        sessions.place(frozen("oldest".into()));
        tokio::time::advance(Duration::from_millis(1)).await;
        for number in 1..MAX_SESSIONS {
            sessions.place(frozen(number.to_string()));
        }
        assert_eq!(sessions.create(Session::new("rejected"), None), Creation::TooMany);
        assert!(status(&sessions, "oldest").is_some());
        sessions.place(frozen("one more".into()));
        assert_eq!(status(&sessions, "oldest"), None);
        assert_eq!(sessions.lock().sessions.len(), MAX_SESSIONS);
    }
}
