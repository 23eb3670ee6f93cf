//! Certificate files that change, as an operator hears of them.

use super::Tls;
use crate::server::metrics::ServerMetrics;
use std::{
    convert::Infallible,
    time::{Duration, UNIX_EPOCH},
};

/// How often certificate files are read again. Kubernetes itself takes up to a minute to change a
/// mounted secret.
const CERTIFICATES_PERIOD: Duration = Duration::from_secs(10);

impl Tls {
    /// Takes over the files as they change, for as long as it is polled; says so in the log and in
    /// the metrics.
    pub async fn renew(&self, metrics: &ServerMetrics) -> Infallible {
        let expiry = || {
            let since = self.not_after().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            metrics.tls_not_after.set(since.map_or(0.0, |since| since.as_secs_f64()));
            for sentence in self.expired().into_iter().chain(self.not_yet_valid()) {
                tracing::warn!("{sentence}");
            }
        };
        expiry();
        let told = |renewed: Result<(), &str>| {
            expiry();
            match renewed {
                Ok(()) => tracing::info!("new certificate files are served from now on"),
                Err(sentence) => tracing::error!(
                    "the certificate files have changed and cannot be used, so the old ones are kept: {sentence}"
                ),
            }
            metrics.tls_reloads.with_label_values(&[if renewed.is_ok() { "ok" } else { "failed" }]).inc();
        };
        self.watch(CERTIFICATES_PERIOD, told).await
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Folder, issue, params},
        *,
    };

    #[tokio::test(start_paused = true)]
    async fn the_metrics_tell_of_a_broken_set_once_and_of_a_new_one_with_its_expiry() {
        let folder = Folder::new("renewal");
        let tls = folder.load().expect("a sound set");
        let metrics = ServerMetrics::new(&crate::telemetry::metrics::Registry::default());
        let count = |outcome| metrics.tls_reloads.with_label_values(&[outcome]).get();
        let looks = async {
            folder.write("tls.crt", "broken");
            tokio::time::sleep(10 * CERTIFICATES_PERIOD).await;
            assert_eq!((count("ok"), count("failed")), (0, 1));
            let mut params = params();
            params.not_after = rcgen::date_time_ymd(2051, 3, 4);
            let (cert, key) = issue(params);
            folder.write("tls.crt", &cert).write("tls.key", &key);
            tokio::time::sleep(3 * CERTIFICATES_PERIOD).await;
            assert_eq!((count("ok"), count("failed")), (1, 1));
            assert_eq!(metrics.tls_not_after.get(), 2_561_500_800.0, "2051-03-04");
        };
        tokio::select! {
            never = tls.renew(&metrics) => match never {},
            () = looks => {}
        }
    }
}
