//! The sessions there are, and when the clock of each began.
//!
//! No task watches over a session: its status is worked out when it is read, and the gone ones are
//! swept out as new ones come in. No lock is held for longer than one look.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use crate::session::{Pace, Session, Status, Times};

/// The most sessions kept at a time, gone ones not counted. It is 55 a second at AWS's three
/// minutes, more than the default quota of an account; a session takes about half a kilobyte.
pub const MAX_SESSIONS: usize = 10_000;

/// Sweeping looks at every session, so it must not happen on every creation.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Sessions {
    times: Times,
    held: Mutex<Held>,
}

struct Held {
    sessions: HashMap<String, Entry>,
    /// Which session a `ClientRequestToken` made.
    tokens: HashMap<String, String>,
    swept: Instant,
}

struct Entry {
    session: Arc<Session>,
    placed: Instant,
    /// When its clock began: `None` for one that waits for its first read.
    began: Option<Instant>,
}

impl Sessions {
    pub fn new(times: Times) -> Self {
        let held = Held { sessions: HashMap::new(), tokens: HashMap::new(), swept: Instant::now() };
        Self { times, held: Mutex::new(held) }
    }

    /// The id of the session created, or of the one that the same token created before; `None` when
    /// there are too many.
    pub fn create(&self, session: Session, token: Option<String>) -> Option<String> {
        let now = Instant::now();
        let mut held = self.held();
        if let Some(id) = token.as_ref().and_then(|token| held.tokens.get(token))
            && held.sessions.get(id).is_some_and(|entry| entry.status(now, &self.times).is_some())
        {
            return Some(id.clone());
        }
        held.sweep(now, &self.times);
        if held.sessions.len() >= MAX_SESSIONS {
            return None;
        }
        let id = session.id.clone();
        if let Some(token) = token {
            held.tokens.insert(token, id.clone());
        }
        held.insert(session, now);
        Some(id)
    }

    /// Unlike a creator, who can be told to come back, a test cannot be refused its session: the
    /// oldest makes way.
    pub fn place(&self, session: Session) {
        let now = Instant::now();
        let mut held = self.held();
        held.sweep(now, &self.times);
        if held.sessions.len() >= MAX_SESSIONS && !held.sessions.contains_key(&session.id) {
            let oldest = held.sessions.iter().min_by_key(|(_, entry)| entry.placed).map(|(id, _)| id.clone());
            held.sessions.remove(&oldest.expect("a full map has an oldest entry"));
        }
        held.insert(session, now);
    }

    /// A session and its status now; `None` when it is unknown or gone.
    pub fn read(&self, id: &str) -> Option<(Arc<Session>, Status)> {
        let now = Instant::now();
        let mut held = self.held();
        let entry = held.sessions.get_mut(id)?;
        entry.began.get_or_insert(now);
        let status = entry.status(now, &self.times)?;
        Some((Arc::clone(&entry.session), status))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("no code panics while it holds this lock")
    }
}

impl Held {
    fn insert(&mut self, session: Session, now: Instant) {
        let began = if session.pace == Pace::FromFirstRead { None } else { Some(now) };
        self.sessions.insert(session.id.clone(), Entry { session: Arc::new(session), placed: now, began });
    }

    fn sweep(&mut self, now: Instant, times: &Times) {
        if self.sessions.len() < MAX_SESSIONS && now - self.swept < SWEEP_EVERY {
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
        let age = self.began.map_or(Duration::ZERO, |began| now - began);
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
    async fn a_session_lives_by_the_clock_and_is_dropped_when_gone() {
        let sessions = sessions();
        sessions.create(Session::new("a"), Some("token".into())).unwrap();
        assert_eq!(status(&sessions, "a"), Some(Status::Created));
        tokio::time::advance(Duration::from_secs(13)).await;
        assert_eq!(status(&sessions, "a"), Some(Status::Succeeded));
        tokio::time::advance(GONE_AFTER).await;
        assert_eq!(status(&sessions, "a"), None);
        sessions.place(Session::new("b"));
        assert!(!sessions.held().sessions.contains_key("a"));
        assert!(sessions.held().tokens.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_can_wait_for_its_first_read() {
        let sessions = sessions();
        sessions.place(Session { pace: Pace::FromFirstRead, ..Session::new("a") });
        tokio::time::advance(GONE_AFTER * 2).await;
        assert_eq!(status(&sessions, "a"), Some(Status::Created));
        tokio::time::advance(GONE_AFTER).await;
        assert_eq!(status(&sessions, "a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_token_is_the_same_session_while_it_exists() {
        let sessions = sessions();
        let create = |id: &str| sessions.create(Session::new(id), Some("token".into())).unwrap();
        assert_eq!(create("a"), "a");
        assert_eq!(create("b"), "a");
        tokio::time::advance(GONE_AFTER).await;
        assert_eq!(create("c"), "c");
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_most() {
        let sessions = sessions();
        let frozen = |id: String| Session { pace: Pace::Frozen(Status::Created), ..Session::new(id) };
        sessions.place(frozen("oldest".into()));
        tokio::time::advance(Duration::from_millis(1)).await;
        for number in 1..MAX_SESSIONS {
            sessions.place(frozen(number.to_string()));
        }
        assert_eq!(sessions.create(Session::new("refused"), None), None);
        assert!(status(&sessions, "oldest").is_some());
        sessions.place(frozen("one more".into()));
        assert_eq!(status(&sessions, "oldest"), None);
        assert_eq!(sessions.held().sessions.len(), MAX_SESSIONS);
    }
}
