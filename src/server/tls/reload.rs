//! The reload of certificate files that change, with its log lines and metrics.

use super::Tls;
use crate::server::metrics::ServerMetrics;
use std::{
    convert::Infallible,
    time::{Duration, UNIX_EPOCH},
};

/// How often the files are read. Kubernetes itself takes up to a minute to change a mounted secret.
const RELOAD_PERIOD: Duration = Duration::from_secs(10);

impl Tls {
    /// Reloads the files when they change. Logs and counts each reload.
    pub async fn reload_on_change(&self, metrics: &ServerMetrics) -> Infallible {
        let report_validity = || {
            let since_epoch = self.not_after().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            metrics.tls_not_after.set(since_epoch.map_or(0.0, |time| time.as_secs_f64()));
            for sentence in self.expired().into_iter().chain(self.not_yet_valid()) {
                tracing::warn!("{sentence}");
            }
        };
        report_validity();
        let on_reload = |reloaded: Result<(), &str>| {
            report_validity();
            match reloaded {
                Ok(()) => tracing::info!("new certificate files are served from now on"),
                Err(sentence) => tracing::error!(
                    "the certificate files have changed and cannot be used, so the old ones are kept: {sentence}"
                ),
            }
            metrics.tls_reloads.with_label_values(&[if reloaded.is_ok() { "ok" } else { "failed" }]).inc();
        };
        self.watch(RELOAD_PERIOD, on_reload).await
    }

    /// Reads the files every `period`. Calls `on_reload` once for each new set of files, with a
    /// sentence if it cannot be used.
    ///
    /// A set is reported as unusable when a second read finds the same: one that replaces the files
    /// one after the other makes the set unusable for a moment.
    pub async fn watch(&self, period: Duration, on_reload: impl Fn(Result<(), &str>)) -> Infallible {
        let mut last_error = None;
        let mut is_reported = false;
        loop {
            tokio::time::sleep(period).await;
            let tls = self.clone();
            let reload = tokio::task::spawn_blocking(move || tls.reload());
            match reload.await.expect("the reload does not panic, and the runtime outlives this task") {
                Ok(is_new) => {
                    last_error = None;
                    if is_new {
                        on_reload(Ok(()));
                    }
                }
                Err(error) if last_error.as_ref() == Some(&error) => {
                    if !std::mem::replace(&mut is_reported, true) {
                        on_reload(Err(&error.sentence));
                    }
                }
                Err(error) => (last_error, is_reported) = (Some(error), false),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Folder, issue, params},
        *,
    };
    use std::{cell::RefCell, sync::Arc};

    /// Runs `steps` beside a watch, and returns what the watch reported.
    async fn watch_during(tls: &Tls, steps: impl Future<Output = ()>) -> Vec<Result<(), String>> {
        let reports = RefCell::default();
        let report = |reloaded: Result<(), &str>| {
            let reports: &RefCell<Vec<_>> = &reports;
            reports.borrow_mut().push(reloaded.map_err(str::to_owned));
        };
        tokio::select! {
            never = tls.watch(RELOAD_PERIOD, report) => match never {},
            () = steps => {}
        }
        reports.into_inner()
    }

    /// Waits until the watch has read the files `count` times.
    async fn reads(count: u32) {
        tokio::time::sleep(RELOAD_PERIOD * count + RELOAD_PERIOD / 2).await;
    }

    #[tokio::test(start_paused = true)]
    async fn new_files_are_served_and_reported_once() {
        let folder = Folder::new("changed");
        let tls = folder.load().unwrap();
        let before = tls.config();
        assert_eq!(watch_during(&tls, reads(2)).await, [], "nothing has changed");
        assert!(Arc::ptr_eq(&before, &tls.config()));
        let (cert, key) = issue(params());
        folder.write("tls.crt", &cert).write("tls.key", &key);
        assert_eq!(watch_during(&tls, reads(3)).await, [Ok(())]);
        assert!(!Arc::ptr_eq(&before, &tls.config()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_client_ca_alone_is_reloaded_too() {
        let folder = Folder::new("ca");
        let tls = folder.load().unwrap();
        folder.write("ca.crt", &issue(params()).0);
        assert_eq!(watch_during(&tls, reads(2)).await, [Ok(())]);
    }

    #[tokio::test(start_paused = true)]
    async fn unusable_files_are_reported_once_and_never_served() {
        let folder = Folder::new("broken");
        let tls = folder.load().unwrap();
        let served = tls.config();
        let (cert, key) = issue(params());
        let reports = watch_during(&tls, async {
            folder.write("tls.crt", &cert);
            reads(9).await;
            folder.write("tls.crt", "garbage");
            reads(9).await;
            std::fs::remove_file(folder.path("tls.crt")).unwrap();
            reads(9).await;
            assert!(Arc::ptr_eq(&served, &tls.config()));
            folder.write("tls.crt", &cert).write("tls.key", &key);
            reads(9).await;
        });
        let reports = reports.await;
        let [Err(mismatch), Err(garbage), Err(missing), Ok(())] = &reports[..] else { panic!("{reports:?}") };
        assert!(mismatch.contains("does not belong"), "{mismatch}");
        assert!(garbage.contains("contains no certificate"), "{garbage}");
        assert!(missing.contains("cannot read"), "{missing}");
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_are_unusable_for_one_read_are_not_reported() {
        let folder = Folder::new("moment");
        let tls = folder.load().unwrap();
        let reports = watch_during(&tls, async {
            reads(0).await;
            for _ in 0..3 {
                let (cert, key) = issue(params());
                folder.write("tls.crt", &cert);
                tokio::time::sleep(RELOAD_PERIOD).await;
                folder.write("tls.key", &key);
                tokio::time::sleep(RELOAD_PERIOD).await;
            }
        });
        assert_eq!(reports.await, vec![Ok(()); 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_reload_is_counted_and_the_expiry_is_of_the_certificate_that_is_served() {
        let folder = Folder::new("metrics");
        let tls = folder.load().expect("valid files");
        let metrics = ServerMetrics::new(&crate::telemetry::metrics::Registry::default());
        let count = |outcome| metrics.tls_reloads.with_label_values(&[outcome]).get();
        let steps = async {
            folder.write("tls.crt", "broken");
            reads(10).await;
            assert_eq!((count("ok"), count("failed")), (0, 1));
            let mut params = params();
            params.not_after = rcgen::date_time_ymd(2051, 3, 4);
            let (cert, key) = issue(params);
            folder.write("tls.crt", &cert).write("tls.key", &key);
            reads(3).await;
            assert_eq!((count("ok"), count("failed")), (1, 1));
            assert_eq!(metrics.tls_not_after.get(), 2_561_500_800.0, "2051-03-04");
        };
        tokio::select! {
            never = tls.reload_on_change(&metrics) => match never {},
            () = steps => {}
        }
    }
}
