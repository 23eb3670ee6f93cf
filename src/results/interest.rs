//! Whether anybody wants to know of a session.
//!
//! Callers are counted while they are there, and for a while after: who polls is gone between two
//! calls.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Who asks again within this time is taken for a poller, and its session for one that somebody
/// waits for.
const INTEREST: Duration = Duration::from_secs(2);

/// The interest in one session.
#[derive(Default)]
pub struct Interest {
    callers: Mutex<Callers>,
    /// Tells the poll that the first has come, or the last has left.
    changed: Notify,
}

#[derive(Default)]
struct Callers {
    present: usize,
    last_left: Option<Instant>,
}

/// A caller who is there, until it is dropped.
pub struct Presence(Arc<Interest>);

impl Presence {
    pub fn new(interest: &Arc<Interest>) -> Self {
        let mut callers = interest.lock();
        callers.present += 1;
        if callers.present == 1 {
            interest.changed.notify_one();
        }
        Self(Arc::clone(interest))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut callers = self.0.lock();
        callers.present -= 1;
        callers.last_left = Some(Instant::now());
        if callers.present == 0 {
            self.0.changed.notify_one();
        }
    }
}

impl Interest {
    /// Whether somebody waits, or asked so lately that it may ask again.
    pub fn is_some(&self) -> bool {
        self.lock().lasts().is_some()
    }

    /// Completes when `is_some` is not what it was. Those who come or leave while others are there
    /// are not noticed.
    pub async fn turned(&self, was_some: bool) {
        loop {
            let changed = self.changed.notified();
            let lasts = self.lock().lasts();
            match lasts {
                now if now.is_some() != was_some => return,
                Some(Lasts::Until(lapse)) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(lapse) => {}
                },
                Some(Lasts::WhileTheyStay) | None => changed.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().expect("nothing panics under this lock")
    }
}

/// How long an interest lasts.
enum Lasts {
    WhileTheyStay,
    Until(Instant),
}

impl Callers {
    fn lasts(&self) -> Option<Lasts> {
        if self.present > 0 {
            return Some(Lasts::WhileTheyStay);
        }
        let lapse = self.last_left? + INTEREST;
        (Instant::now() < lapse).then_some(Lasts::Until(lapse))
    }
}
