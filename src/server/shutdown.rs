//! The graceful shutdown, step by step.

use super::health::Health;
use std::{pin::pin, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The end of the drain timeout in which hanging reads are aborted, so that their callers get a
/// response and can call another replica.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// How long GOAWAY precedes the end of the open watches. A gRPC client whose watch ends first would
/// fail its calls until it has another connection.
const GOAWAY_HEAD_START: Duration = Duration::from_millis(100);

/// How often the calls of a closing port are counted. After five seconds without a call, the
/// connections that are still open are those of clients that do not acknowledge GOAWAY. A client
/// that a busy machine or a garbage collection stalls reads it sooner.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);
const ZERO_COUNTS: u32 = 50;

/// The phases of a graceful shutdown. Each begins when its token is cancelled.
#[derive(Clone, Default)]
pub struct Shutdown {
    /// New requests are rejected. Requests in flight may take the drain timeout.
    pub draining: CancellationToken,
    /// The gRPC port accepts no connections, and sends GOAWAY on those that are open.
    pub(super) closing: CancellationToken,
    /// The streams of the gRPC port that nothing else ends, such as watches, end.
    pub(super) ending_streams: CancellationToken,
    /// The last connection of the gRPC port has ended.
    pub(super) closed: CancellationToken,
    /// The port is closed or quiet, or the drain timeout is almost over. Reads in flight are
    /// aborted.
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
    /// Goes through the phases. `calls` returns how many calls are in flight, and `drained`
    /// completes when the work behind the RPC has ended.
    pub(super) async fn run(
        &self,
        drain_delay: Duration,
        drain_timeout: Duration,
        health: &Health,
        calls: impl Fn() -> usize,
        drained: impl Future<Output = ()>,
    ) -> Stopped {
        health.begin_shutdown().await;
        sleep(drain_delay).await;
        self.draining.cancel();
        self.closing.cancel();
        let quiet = async {
            sleep(GOAWAY_HEAD_START).await;
            self.ending_streams.cancel();
            quiet(calls).await;
        };
        let closed = async {
            tokio::select! {
                () = self.closed.cancelled() => {}
                () = quiet => {}
            }
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

/// Completes when no call has been in flight for a while.
async fn quiet(calls: impl Fn() -> usize) {
    let mut zeros = 0;
    while zeros < ZERO_COUNTS {
        sleep(COUNT_INTERVAL).await;
        zeros = if calls() == 0 { zeros + 1 } else { 0 };
    }
}
