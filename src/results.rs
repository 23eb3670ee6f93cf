//! The result of a session, from memory or from AWS.
//!
//! A request goes one way: what is held is answered; whoever asks for anything else joins the one poll of that session, and takes from it
//! what it learns in time. AWS's types and gRPC's are not known here.

mod cache;
mod limiter;
mod outcome;
mod poll;
mod polls;
mod urgency;

pub use cache::Limits;
pub use outcome::{ImageSet, Images, Outcome};

use crate::{
    error::{Error, Reason},
    rekognition::Rekognition,
    session::SessionId,
};
use poll::Start;
use polls::{Membership, Polls, Progress};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// What a caller is told of a session. Cheap to clone: everybody who shared a read gets one.
#[derive(Clone)]
pub struct Answer {
    pub outcome: Arc<Outcome>,
    /// Image content as far as it is held; nothing when it was not asked for or is held no more.
    pub images: Option<Arc<Images>>,
}

/// How results are read and held.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub limits: Limits,
    /// The age up to which a state is current, and the pause between two reads of a session.
    pub pending_ttl: Duration,
    /// Whether a session is read to its end though nobody waits for it any more.
    pub capture: bool,
    /// HTTP attempts a second; nothing when there is no limit.
    pub rate: Option<f64>,
}

/// How long a caller can be held.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until when it waits for the session to end; nothing when it wants the current state.
    pub wait_until: Option<Instant>,
    /// When it must have an answer, whatever it is.
    pub answer_by: Instant,
}

/// A caller who wants the current state is held so long for a newer one than the last that is known. It is the longest that a person, or a
/// poller with half a second between its calls, takes for "at once".
const FRESH_STATE_WAIT: Duration = Duration::from_secs(1);

/// The results of all sessions. Cheap to clone.
#[derive(Clone)]
pub struct Results(Arc<Polls>);

impl Results {
    pub fn new(rekognition: Rekognition, settings: Settings) -> Self {
        Self(Arc::new(Polls::new(rekognition, settings)))
    }

    /// The session's state, and the content of `wanted` images as far as it can be had.
    ///
    /// # Errors
    /// Every reason but those of a malformed or forbidden request. Dropping the future costs nobody else anything.
    pub async fn get(&self, id: SessionId, wanted: ImageSet, patience: Patience) -> Result<Answer, Error> {
        let cache = &self.0.cache;
        if let Some(held) = cache.answer(id, wanted).await {
            if held.images.is_some() || !cache.may_be_read_again(&held.outcome, wanted) {
                return Ok(held);
            }
            // The faces had to make room. When they cannot be had again, the outcome is still an answer.
            return Ok(self.images_again(id, &held, patience).await.unwrap_or(held));
        }
        let known = cache.unfinished(id).await;
        let refusal = cache.refusal(id).await;
        if let Some(refusal) = refusal.as_ref().filter(|refusal| refusal.is_current()) {
            let survives = refusal.error.is_transient() && patience.wait_until.is_some();
            match &known {
                _ if survives => {}
                Some(known) if !refusal.error.is_not_found() => return Ok(known.clone()),
                _ => return Err(refusal.error.clone()),
            }
        }
        let not_found = refusal.as_ref().filter(|refusal| refusal.error.is_not_found());
        let start = match (known, not_found) {
            (_, Some(refusal)) => Start::NotFound(refusal.since),
            (Some(known), None) => Start::Unfinished(known),
            (None, None) => Start::Unread,
        };
        let earliest = refusal.as_ref().map(|refusal| refusal.until);
        let membership = self.0.join(id, start, earliest, patience.answer_by)?;
        let answer = follow(membership, patience, self.0.settings.pending_ttl, not_found.is_some()).await;
        // That AWS did not know the session a while ago is an answer too, when it cannot be asked again in time.
        match (answer, not_found) {
            (Err(error), Some(refusal)) if error.reason == Reason::DeadlineExceeded => Err(refusal.error.clone()),
            (answer, _) => answer,
        }
    }

    /// Hands out the limiter's tokens and frees what has expired, for as long as it is polled.
    pub async fn run(&self) {
        let limiter = async {
            if let Some(limiter) = &self.0.limiter {
                limiter.run().await;
            }
        };
        tokio::join!(limiter, self.0.cache.maintain());
    }

    /// Ends all polls, each once its read under way has ended, and answers those who wait with what is known. What is held is still answered.
    pub fn stop(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
    }

    /// Completes after a stop, when the last poll has ended.
    pub async fn stopped(&self) {
        self.0.tasks.wait().await;
    }

    /// How many sessions are polled now.
    pub fn polls(&self) -> usize {
        self.0.count()
    }

    /// The answer with images, when AWS still has them.
    async fn images_again(&self, id: SessionId, held: &Answer, patience: Patience) -> Option<Answer> {
        if self.0.cache.refusal(id).await.is_some_and(|refusal| refusal.is_current()) {
            return None;
        }
        let start = Start::Ended(held.clone());
        let membership = self.0.join(id, start, None, patience.answer_by).ok()?;
        let answer = follow(membership, patience, Duration::ZERO, false).await.ok()?;
        answer.outcome.is_terminal().then_some(answer)
    }
}

/// Takes from a poll what its caller asked for. `known` says that there is something else to answer, if nothing new comes soon.
async fn follow(
    mut membership: Membership,
    patience: Patience,
    pending_ttl: Duration,
    known: bool,
) -> Result<Answer, Error> {
    let now = Instant::now();
    let progress = &mut membership.progress;
    let newest = match patience.wait_until {
        Some(wait_until) => {
            let ended = |progress: &Progress| progress.end.is_some();
            let progress_at_end = look(progress, wait_until.min(patience.answer_by), ended).await?;
            // A wait has run out: any state will do.
            if progress_at_end.end.is_none() && progress_at_end.last.is_none() {
                look(progress, patience.answer_by, |progress| progress.last.is_some() || has_answer(progress, now))
                    .await?
            } else {
                progress_at_end
            }
        }
        None => {
            let known = known || progress.borrow().last.is_some();
            let until = if known { patience.answer_by.min(now + FRESH_STATE_WAIT) } else { patience.answer_by };
            let current = |last: &Answer| last.outcome.read_at + pending_ttl >= now;
            let fresh = |progress: &Progress| progress.last.as_ref().is_some_and(current) || has_answer(progress, now);
            look(progress, until, fresh).await?
        }
    };
    newest.answer(patience.wait_until.is_some())
}

/// Whether a poll has ended, or a read of it has failed since `since` for good enough a reason to say so.
fn has_answer(progress: &Progress, since: Instant) -> bool {
    let failed = progress.failure.as_ref().is_some_and(|failure| failure.at >= since && !failure.held);
    progress.end.is_some() || failed
}

/// What is known once `done`, or when time is up.
async fn look(
    progress: &mut watch::Receiver<Progress>,
    until: Instant,
    done: impl FnMut(&Progress) -> bool,
) -> Result<Progress, Error> {
    match tokio::time::timeout_at(until, progress.wait_for(done)).await {
        Ok(Ok(progress)) => return Ok(progress.clone()),
        // The poll panicked. Its panic is logged where it happened.
        Ok(Err(_)) => return Err(Error::new(Reason::UpstreamUnknown)),
        Err(_) => {}
    }
    Ok(progress.borrow().clone())
}

impl Progress {
    /// The end of the poll, or what is known without it.
    fn answer(self, waited: bool) -> Result<Answer, Error> {
        let last = self.last.filter(|last| last.outcome.may_be_unfinished());
        match (self.end, last) {
            (Some(Ok(answer)), _) => Ok(answer),
            // A stop ends a wait; for who wants the state, any trouble but an unknown session leaves it the last known one.
            (Some(Err(error)), Some(last))
                if error.reason == Reason::ShuttingDown || !(waited || error.is_not_found()) =>
            {
                Ok(last)
            }
            (Some(Err(error)), _) => Err(error),
            (None, Some(last)) => Ok(last),
            (None, None) => Err(self.failure.map_or(Error::new(Reason::DeadlineExceeded), |failure| failure.error)),
        }
    }
}

#[cfg(test)]
mod tests;
