//! The end of a stream whose request does not arrive: at the caller's deadline, after a timeout, or
//! soon after the port began to close.

use crate::{
    error::{Error, Reason},
    grpc::{call::MESSAGE_TIMEOUT, deadline::Deadline},
};
use std::{pin::Pin, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a request may take once the port closes: the rest of one that is on its way.
const CLOSING_TIMEOUT: Duration = Duration::from_millis(500);

/// The time by which a request, or its next message, must have arrived, and the error if it has
/// not.
pub struct RequestLimit {
    by: Instant,
    error: Error,
}

/// Completes with the error of a stream whose request has not arrived.
pub type Incomplete = Pin<Box<dyn Future<Output = Error> + Send>>;

impl RequestLimit {
    /// A limit from now on.
    pub fn within(timeout: Duration) -> Self {
        Self { by: Instant::now() + timeout, error: Error::late("request", timeout) }
    }

    /// The limit of a request with this deadline whose headers arrived at `arrival`.
    pub fn of(deadline: Deadline, arrival: Instant) -> Self {
        let by = arrival + MESSAGE_TIMEOUT;
        match deadline.respond_by() < by {
            true => Self { by: deadline.respond_by(), error: Error::new(Reason::DeadlineExceeded) },
            false => Self { by, error: Error::late("request", MESSAGE_TIMEOUT) },
        }
    }

    /// Waits for the limit. `closing` is cancelled when the port begins to close.
    pub fn wait(&self, closing: &CancellationToken) -> Incomplete {
        let (by, error, closing) = (self.by, self.error.clone(), closing.clone());
        Box::pin(async move {
            let closed = async {
                closing.cancelled().await;
                sleep(CLOSING_TIMEOUT).await;
            };
            tokio::select! {
                () = sleep_until(by) => error,
                () = closed => Error::new(Reason::ShuttingDown),
            }
        })
    }
}
