//! Panics of the AWS SDK, as errors of the call that ran into them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// Runs `work`; returns None when it panics. The panic hook has logged where.
///
/// Nothing of a future that has panicked is used again, so that it may be left in any state.
pub async fn catch<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let polled = std::future::poll_fn(|context| {
        let poll = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        poll.map_or(Poll::Ready(None), |poll| poll.map(Some))
    });
    polled.await
}
