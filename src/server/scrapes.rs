//! Scrapes of the metrics. Gathering and encoding them takes milliseconds of a processor, so it
//! is done at most once per [`INTERVAL`], for all scrapes that wait.

use axum::body::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
    time::sleep,
};

/// A client that scrapes without pause gets one response per interval.
const INTERVAL: Duration = Duration::from_millis(100);

/// Returns the metrics as text. Clones share the rendering.
#[derive(Clone)]
pub struct Scrapes {
    requested: Arc<Notify>,
    rendered: watch::Receiver<Bytes>,
}

/// Returns the scrapes, and the task that calls `render` for them.
pub fn scrapes(render: impl Fn() -> String + Send + Sync + 'static) -> (Scrapes, impl Future<Output = ()>) {
    let (render, requested) = (Arc::new(render), Arc::new(Notify::new()));
    let (sender, rendered) = watch::channel(Bytes::new());
    let scrapes = Scrapes { requested: Arc::clone(&requested), rendered };
    let task = async move {
        loop {
            requested.notified().await;
            let render = Arc::clone(&render);
            let text = spawn_blocking(move || render()).await.expect("rendering does not panic");
            sender.send_replace(text.into());
            sleep(INTERVAL).await;
        }
    };
    (scrapes, task)
}

impl Scrapes {
    /// Waits for the next rendering, at most about [`INTERVAL`].
    pub async fn text(mut self) -> Bytes {
        self.rendered.mark_unchanged();
        self.requested.notify_one();
        // It fails only while the process ends.
        self.rendered.changed().await.ok();
        self.rendered.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use tokio::{task::JoinSet, time::timeout};

    #[tokio::test(start_paused = true)]
    async fn eight_clients_that_scrape_without_pause_share_one_rendering_per_interval() {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let (scrapes, task) = scrapes(move || counted.fetch_add(1, Relaxed).to_string());
        let mut running = JoinSet::new();
        running.spawn(task);
        for _ in 0..8 {
            let scrapes = scrapes.clone();
            running.spawn(async move {
                loop {
                    scrapes.clone().text().await;
                }
            });
        }
        timeout(100 * INTERVAL, running.join_next()).await.expect_err("none ends");
        assert!((90..=110).contains(&count.load(Relaxed)), "{count:?} renderings in 100 intervals");
    }

    #[tokio::test(start_paused = true)]
    async fn a_scrape_after_a_pause_is_fresh_and_does_not_wait() {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let (scrapes, task) = scrapes(move || counted.fetch_add(1, Relaxed).to_string());
        let _running = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(task));
        for expected in ["0", "1"] {
            let text = timeout(INTERVAL / 2, scrapes.clone().text()).await;
            assert_eq!(text.expect("it does not wait"), expected);
            sleep(2 * INTERVAL).await;
        }
    }
}
