//! One read of a session at a time, shared by all who ask meanwhile.
//!
//! The read is a task of its own: a caller who leaves neither cancels it for the others nor makes them repeat it. It ends by
//! itself, since every attempt in it is bounded in time and their number too.

use super::Answer;
use crate::{
    error::{Error, Reason},
    session::SessionId,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::watch;

type Shared = Option<Result<Answer, Error>>;

/// The reads under way, at most one per session. Cheap to clone.
#[derive(Clone, Default)]
pub struct SingleFlight {
    under_way: Arc<Mutex<HashMap<SessionId, watch::Receiver<Shared>>>>,
}

impl SingleFlight {
    /// The answer of the read of `id` that is under way, or of `read` when there is none.
    pub async fn join<F>(&self, id: SessionId, read: impl FnOnce() -> F) -> Result<Answer, Error>
    where
        F: Future<Output = Result<Answer, Error>> + Send + 'static,
    {
        let mut answer = self.enter(id, read);
        match answer.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().expect("waited for until there was one"),
            // The read panicked. Its panic is logged where it happened.
            Err(_) => Err(Error::new(Reason::UpstreamUnknown)),
        }
    }

    fn enter<F>(&self, id: SessionId, read: impl FnOnce() -> F) -> watch::Receiver<Shared>
    where
        F: Future<Output = Result<Answer, Error>> + Send + 'static,
    {
        let mut under_way = self.lock();
        if let Some(answer) = under_way.get(&id) {
            return answer.clone();
        }
        let (publish, answer) = watch::channel(None);
        under_way.insert(id, answer.clone());
        let (read, leave) = (read(), Leave { reads: self.clone(), id });
        tokio::spawn(async move {
            let answer = read.await;
            // First out of the map: whoever comes now gets what is newer than its request, or the cache.
            drop(leave);
            publish.send_replace(Some(answer));
        });
        answer
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, watch::Receiver<Shared>>> {
        self.under_way.lock().expect("nothing panics under this lock")
    }
}

/// Takes a read out of the map however it ends, by panic too.
struct Leave {
    reads: SingleFlight,
    id: SessionId,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.reads.lock().remove(&self.id);
    }
}
