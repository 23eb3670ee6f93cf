//! One poll: reads a session again and again until it ends, as often as the limiter lets it and no oftener than anybody needs.
//!
//! It is a task of its own, so that a caller who leaves costs the others nothing. When all have left it goes on with spare tokens, until
//! the session has ended or AWS has forgotten it: otherwise its result would be lost for those who come back.

mod learn;
mod share;
mod turn;

use super::{
    Answer,
    interest::Interest,
    limiter::{Need, Queued},
    outcome::{AWS_LIFETIME, ImageSet, Outcome},
    polls::{Polls, Progress, Start},
    shared_cache::Lease,
    urgency::Urgency,
};
use crate::{
    error::{Error, Reason},
    rekognition::Read,
    session::SessionId,
    telemetry::spans,
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::watch, time::Instant};
use turn::Turn;

/// How often a session is read that nobody waits for. AWS forgets it three minutes after its creation, so one that ends at the last moment may
/// be readable for as long only.
const CAPTURE_PERIOD: Duration = Duration::from_secs(5);

pub struct Poll {
    id: SessionId,
    polls: Arc<Polls>,
    publish: watch::Sender<Progress>,
    interest: Arc<Interest>,
    started: Instant,
    /// Whether the session may have ended before the poll began.
    looks_first: bool,
    /// Whether the session is read on when nobody waits for it: one that was seen unfinished here, and no id that anybody may invent.
    capture: bool,
    /// The outcome of a session that had ended before: only its images are wanted.
    ended: Option<Arc<Outcome>>,
    /// The place in the queue that the poll was born with.
    place: Option<Queued>,
    /// When the last known state was read, as callers are told.
    seen: Option<SystemTime>,
    /// Nothing when the session was never read.
    urgency: Option<Urgency>,
    /// No read begins before.
    not_before: Instant,
    /// The right to be the replica that reads the session now; nothing where replicas share nothing.
    lease: Option<Arc<Lease>>,
    /// Attempts of the read under way that failed, and reads in a row that failed.
    attempts: u32,
    failures: u32,
}

impl Poll {
    pub fn new(
        id: SessionId,
        polls: Arc<Polls>,
        publish: watch::Sender<Progress>,
        interest: Arc<Interest>,
        start: Start,
        earliest: Option<Instant>,
        place: Option<Queued>,
    ) -> Self {
        let now = Instant::now();
        let urgency = match &start {
            Start::Unread => None,
            Start::Unfinished(answer) => Some(answer.outcome.urgency()),
            // Only its images are wanted, from now on.
            Start::Ended(answer) => Some(Urgency::of(answer.outcome.result.status(), now)),
            Start::NotFound(read_at) => Some(Urgency::of_not_found(*read_at)),
        };
        let pause_ends = match &start {
            Start::Unfinished(answer) | Start::Ended(answer) => answer.outcome.read_at + polls.settings.pending_ttl,
            Start::Unread | Start::NotFound(_) => now,
        };
        let seen = match &start {
            Start::Unfinished(answer) => Some(answer.outcome.read_time),
            _ => None,
        };
        let looks_first = !matches!(start, Start::Ended(_));
        // Images that are held here no more are read again by whoever wants them.
        let lease = polls.shared.as_ref().filter(|_| looks_first).map(|shared| Arc::new(Lease::new(shared, id)));
        if let Some(place) = place.as_ref().filter(|_| lease.is_none()) {
            place.ready();
        }
        let capture = polls.settings.capture && matches!(start, Start::Unfinished(_));
        let ended = match start {
            Start::Ended(answer) => Some(answer.outcome),
            _ => None,
        };
        let not_before = pause_ends.max(earliest.unwrap_or(now));
        Self {
            id,
            polls,
            publish,
            interest,
            started: now,
            looks_first,
            capture,
            ended,
            place,
            seen,
            urgency,
            not_before,
            lease,
            attempts: 0,
            failures: 0,
        }
    }

    /// Polls to the end. In traces its reads are `caller`'s: whoever starts a poll has a share in all of them.
    pub async fn run(mut self, caller: spans::Caller) {
        let _leave = Leave { id: self.id, polls: Arc::clone(&self.polls) };
        // The poll before may have ended after this one's first caller had looked.
        let held = self.polls.cache.answer(self.id, ImageSet::ALL).await.filter(|_| self.looks_first);
        let end = match held {
            Some(held) => Some(Ok(held)),
            None => self.read_to_the_end(&caller).await,
        };
        if let Some(end) = end {
            // First out of the map: whoever comes now gets what is newer, or the cache.
            self.polls.leave(self.id, || false);
            self.publish.send_modify(|progress| progress.end = Some(end));
        }
        if let Some(lease) = &self.lease {
            lease.release().await;
        }
    }

    /// How the poll ends; nothing when it has left because nobody is interested.
    async fn read_to_the_end(&mut self, caller: &spans::Caller) -> Option<Result<Answer, Error>> {
        loop {
            let Some(need) = self.need() else {
                if self.polls.leave(self.id, || self.interest.is_some()) {
                    return None;
                }
                continue;
            };
            if need == Need::FirstRead {
                match self.claim_first_read().await {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(end) => return Some(end),
                }
            }
            match self.turn(need).await {
                Turn::Read(mut permit) => {
                    match self.claim_read(&mut permit).await {
                        Ok(true) => {}
                        Ok(false) => continue,
                        Err(end) => return Some(end),
                    }
                    let read = self.while_leased(self.read(caller));
                    let Some(read) = self.polls.giving_up.run_until_cancelled(read).await else {
                        return Some(Err(Error::new(Reason::ShuttingDown)));
                    };
                    let failed = read.is_err();
                    if let Some(end) = self.learn(read, permit).await {
                        return Some(end);
                    }
                    if let Some(lease) = self.lease.as_ref().filter(|_| failed) {
                        lease.release().await;
                    }
                }
                Turn::News(known) => {
                    if let Err(end) = self.take_in(known).await {
                        return Some(end);
                    }
                }
                Turn::Reconsider => {}
                Turn::Stop => return Some(Err(Error::new(Reason::ShuttingDown))),
            }
        }
    }

    async fn read(&self, caller: &spans::Caller) -> Result<Read, Error> {
        let _place = self.polls.reads.acquire().await.expect("it is never closed");
        let started = Instant::now();
        let read = self.polls.rekognition.read(self.id, caller).await;
        let outcome = read.as_ref().err().map_or("OK", |error| error.reason.name());
        self.polls.metrics.reads.with_label_values(&[outcome]).inc();
        self.polls.metrics.read_seconds.observe(started.elapsed().as_secs_f64());
        read
    }

    /// What the next token is for; nothing when the session is wanted no more.
    fn need(&self) -> Option<Need> {
        match (self.interest.is_some(), self.urgency) {
            (true, None) => Some(Need::FirstRead),
            (true, Some(urgency)) => Some(Need::ReRead(urgency)),
            (false, _) => (self.capture && self.started.elapsed() < AWS_LIFETIME).then_some(Need::Capture),
        }
    }
}

/// Takes a poll that panics out of the map.
struct Leave {
    id: SessionId,
    polls: Arc<Polls>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.polls.leave(self.id, || false);
        }
    }
}
