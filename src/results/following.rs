//! What a caller takes from a poll: the end of the session, its state, or the trouble that hides
//! both.

use super::{
    FRESH_STATE_WAIT, SessionResponse, WaitBudget,
    polls::{Progress, Says, Subscription},
};
use crate::error::{Error, Reason};
use std::time::Duration;
use tokio::{sync::watch, time::Instant};

/// Takes from a poll what its caller asked for. Who has something else to be answered with is held
/// for no longer than `hold`.
pub async fn follow(
    mut subscription: Subscription,
    budget: WaitBudget,
    pending_ttl: Duration,
    hold: Option<Duration>,
) -> Result<SessionResponse, Error> {
    let asked = Instant::now();
    let progress = &mut subscription.progress;
    if let Some(wait_until) = budget.wait_until {
        let over = |progress: &Progress| progress.end.is_some() || progress.failed(asked, &[Says::All]);
        let seen = look(progress, wait_until.min(budget.respond_by), over).await?;
        if over(&seen) {
            return seen.end();
        }
    }
    // Who wants the state now, or has waited in vain.
    let current = |last: &SessionResponse| last.result.read_at + pending_ttl >= asked;
    let fresh = |progress: &Progress| {
        let told = progress.end.is_some() || progress.failed(asked, &[Says::All, Says::Now]);
        told || progress.last.as_ref().is_some_and(current)
    };
    let is_known = progress.borrow().last.as_ref().is_some_and(|last| last.result.may_be_pending());
    let hold = if is_known { Some(FRESH_STATE_WAIT) } else { hold };
    let until = hold.map_or(budget.respond_by, |hold| budget.respond_by.min(asked + hold));
    look(progress, until, fresh).await?.state()
}

/// What is known once `done`, or when time is up.
async fn look(
    progress: &mut watch::Receiver<Progress>,
    until: Instant,
    done: impl FnMut(&Progress) -> bool,
) -> Result<Progress, Error> {
    match tokio::time::timeout_at(until, progress.wait_for(done)).await {
        Ok(Ok(progress)) => return Ok(progress.clone()),
        // The poll task panicked, and the panic is in the log.
        Ok(Err(_)) => return Err(Error::new(Reason::Internal)),
        Err(_) => {}
    }
    Ok(progress.borrow().clone())
}

impl Progress {
    /// Whether a read has failed since `asked` in a way that says so to the caller.
    fn failed(&self, asked: Instant, to: &[Says]) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.at >= asked && to.contains(&failure.says))
    }

    /// The answer for one who waited for the end, or for what prevents it.
    fn end(self) -> Result<SessionResponse, Error> {
        let failure = self.failure.map(|failure| Err(failure.error));
        match (self.end.or(failure), self.last) {
            (Some(Err(error)), Some(last)) if error.reason == Reason::ShuttingDown => Ok(last),
            (Some(end), _) => end,
            (None, _) => Err(Error::new(Reason::DeadlineExceeded)),
        }
    }

    /// The answer for one who wants the state: while one is known, no trouble hides it but that AWS
    /// knows the session no more.
    fn state(self) -> Result<SessionResponse, Error> {
        match (self.end, self.last.filter(|last| last.result.may_be_pending())) {
            (Some(Ok(answer)), _) => Ok(answer),
            (Some(Err(error)), Some(last)) if !error.is_not_found() => Ok(last),
            (Some(Err(error)), _) => Err(error),
            (None, Some(last)) => Ok(last),
            (None, None) => Err(self.failure.map_or(Error::new(Reason::DeadlineExceeded), |failure| failure.error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_poll_task_that_panicked_is_internal() {
        let (publish, mut progress) = watch::channel(Progress::default());
        drop(publish);
        let seen = look(&mut progress, Instant::now() + Duration::from_secs(1), |_| false).await;
        assert_eq!(seen.map(drop).map_err(|error| error.reason), Err(Reason::Internal));
    }
}
