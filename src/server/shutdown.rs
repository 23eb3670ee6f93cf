//! The graceful shutdown, step by step.

use super::health::Health;
use std::{pin::pin, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The end of the drain timeout in which hanging reads are aborted, so that their callers get a
/// response and can call another replica.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The phases of a graceful shutdown. Each begins when its token is cancelled.
#[derive(Clone, Default)]
pub struct Shutdown {
    /// New requests are rejected. Requests in flight may take the drain timeout.
    pub draining: CancellationToken,
    /// The gRPC port accepts no connections, and ends the streams that nothing else ends.
    pub(super) closing: CancellationToken,
    /// The last connection of the gRPC port has ended.
    pub(super) closed: CancellationToken,
    /// The port is closed, or the drain timeout is almost over. Reads in flight are aborted.
    pub aborting: CancellationToken,
}

/// How the requests in flight ended at a graceful shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// All completed.
    Drained,
    /// Some were cut off after the drain timeout.
    CutOff,
}

impl Shutdown {
    /// Goes through the phases. `drained` completes when the work behind the RPC has ended.
    pub(super) async fn run(
        &self,
        drain_delay: Duration,
        drain_timeout: Duration,
        health: &Health,
        drained: impl Future<Output = ()>,
    ) -> Stopped {
        health.set_ready(false).await;
        sleep(drain_delay).await;
        self.draining.cancel();
        health.end_watches().await;
        self.closing.cancel();
        let closed = async {
            self.closed.cancelled().await;
            self.aborting.cancel();
        };
        let mut drained = pin!(async { tokio::join!(closed, drained) });
        let last_moment = (drain_timeout / 10).min(LAST_MOMENT);
        if timeout(drain_timeout - last_moment, &mut drained).await.is_ok() {
            return Stopped::Drained;
        }
        self.aborting.cancel();
        match timeout(last_moment, drained).await {
            Ok(_) => Stopped::Drained,
            Err(_) => Stopped::CutOff,
        }
    }
}
