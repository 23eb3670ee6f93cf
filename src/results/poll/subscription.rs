//! What a poll publishes to its subscribers, and how long each subscriber waits for it.

use super::subscribers::Position;
use crate::{
    error::{Error, Reason},
    results::session_result::SessionResponse,
};
use std::time::Duration;
use tokio::{sync::watch, time::Instant};

/// How long a caller without `wait` waits for a newer status than the known one. People, and
/// clients that poll twice a second, still take it for an immediate response.
pub const FRESH_STATUS_WAIT: Duration = Duration::from_secs(1);

/// How long a caller can be kept waiting.
#[derive(Clone, Copy, Debug)]
pub struct WaitBudget {
    /// How long to wait for a final result. None requests the current status.
    pub wait_until: Option<Instant>,
    /// When the caller must have a response.
    pub respond_by: Instant,
}

/// A caller attached to a poll. The poll counts the receivers of its channel.
pub struct Subscription {
    pub progress: watch::Receiver<Progress>,
    pub _position: Position,
}

/// What a poll has published so far.
#[derive(Clone, Default)]
pub struct Progress {
    /// The latest pending status.
    pub pending: Option<SessionResponse>,
    /// The failure of the read after it. None if that read did not fail.
    pub failure: Option<ReadFailure>,
    /// The response that ends the poll for all subscribers.
    pub last: Option<Result<SessionResponse, Error>>,
}

/// A failed read that will be retried.
#[derive(Clone)]
pub struct ReadFailure {
    pub error: Error,
    pub at: Instant,
    pub recipients: Recipients,
}

/// The subscribers that get a failure as their response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Recipients {
    /// No subscriber before its deadline: AWS throttles, and the rate limiter gets through in the
    /// end.
    None,
    /// Subscribers without `wait`: a retry may succeed before the deadlines of the others.
    WithoutWait,
    /// All subscribers: a retry would fail again.
    All,
}

/// Waits for the response that the caller requested. If no status is known, it comes within
/// `max_wait`.
pub async fn wait_for_response(
    subscription: Subscription,
    budget: WaitBudget,
    pending_ttl: Duration,
    max_wait: Option<Duration>,
) -> Result<SessionResponse, Error> {
    let Subscription { mut progress, _position } = subscription;
    let now = Instant::now();
    if let Some(wait_until) = budget.wait_until {
        let is_over = |progress: &Progress| progress.last.is_some() || progress.has_failed(now, Recipients::All);
        let progress = latest(&mut progress, wait_until.min(budget.respond_by), is_over).await?;
        if is_over(&progress) {
            return progress.into_final();
        }
    }
    let is_current = |pending: &SessionResponse| pending.result.read_at + pending_ttl >= now;
    let is_over = |progress: &Progress| {
        progress.last.is_some()
            || progress.has_failed(now, Recipients::WithoutWait)
            || progress.pending.as_ref().is_some_and(is_current)
    };
    let is_known = progress.borrow().pending.as_ref().is_some_and(|pending| pending.result.may_be_pending());
    let max_wait = if is_known { Some(FRESH_STATUS_WAIT) } else { max_wait };
    let until = max_wait.map_or(budget.respond_by, |max_wait| budget.respond_by.min(now + max_wait));
    latest(&mut progress, until, is_over).await?.into_status()
}

/// Returns the progress once `is_over`, or at `until`.
async fn latest(
    subscription: &mut watch::Receiver<Progress>,
    until: Instant,
    is_over: impl FnMut(&Progress) -> bool,
) -> Result<Progress, Error> {
    match tokio::time::timeout_at(until, subscription.wait_for(is_over)).await {
        Ok(Ok(progress)) => return Ok(progress.clone()),
        // The poll task panicked, and the panic is in the log.
        Ok(Err(_)) => return Err(Error::new(Reason::Internal)),
        Err(_) => {}
    }
    Ok(subscription.borrow().clone())
}

impl Progress {
    /// Returns whether a read has failed since `since`, for at least these recipients.
    fn has_failed(&self, since: Instant, recipients: Recipients) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.at >= since && failure.recipients >= recipients)
    }

    /// Returns the response for a subscriber that waited for a final result.
    fn into_final(self) -> Result<SessionResponse, Error> {
        let failure = self.failure.map(|failure| Err(failure.error));
        match (self.last.or(failure), self.pending) {
            (Some(Err(error)), Some(pending)) if error.reason == Reason::ShuttingDown => Ok(pending),
            (last, _) => last.unwrap_or(Err(Error::new(Reason::DeadlineExceeded))),
        }
    }

    /// Returns the response for a subscriber that requested the status. Of all errors, only
    /// NotFound replaces a known status.
    fn into_status(self) -> Result<SessionResponse, Error> {
        match (self.last, self.pending.filter(|pending| pending.result.may_be_pending())) {
            (Some(Err(error)), Some(pending)) if !error.is_not_found() => Ok(pending),
            (Some(last), _) => last,
            (None, Some(pending)) => Ok(pending),
            (None, None) => Err(self.failure.map_or(Error::new(Reason::DeadlineExceeded), |failure| failure.error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_poll_task_is_an_internal_error() {
        let (publish, mut subscription) = watch::channel(Progress::default());
        drop(publish);
        let progress = latest(&mut subscription, Instant::now() + Duration::from_secs(1), |_| false).await;
        assert_eq!(progress.map(drop).map_err(|error| error.reason), Err(Reason::Internal));
    }
}
