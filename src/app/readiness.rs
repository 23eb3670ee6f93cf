//! Readiness: the replica has credentials, and AWS does not reject them.

use crate::{
    client::ClientKey,
    error::Reason,
    rekognition::{NoCredentials, Rekognition},
    results::{ImageSet, SessionReader, WaitBudget},
    session::SessionId,
};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// How often the credential chain is tried while it has no credentials: a sidecar or an agent may
/// start after this service.
const CREDENTIALS_RETRY: Duration = Duration::from_secs(2);

/// How often a session that cannot exist is read while AWS rejects the credentials: no caller's
/// read would show that it accepts them again. Each read also loads them again.
const PROBE_PERIOD: Duration = Duration::from_secs(6);

/// Sets `ready` by the credentials. Never completes.
pub async fn follow_credentials(rekognition: Rekognition, results: SessionReader, ready: watch::Sender<bool>) {
    // The shared cache comes first: AWS may have deleted a result that only the cache has.
    results.connected().await;
    wait_for_credentials(&rekognition).await;
    let mut rejected = rekognition.rejected();
    loop {
        ready.send_replace(true);
        if rejected.wait_for(|rejected| *rejected).await.is_err() {
            return;
        }
        ready.send_replace(false);
        let reason = Reason::UpstreamCredentials;
        tracing::error!(%reason, "the AWS credentials are rejected or cannot be loaded: not ready until AWS accepts them");
        while timeout(PROBE_PERIOD, rejected.wait_for(|rejected| !rejected)).await.is_err() {
            let budget = WaitBudget { wait_until: None, respond_by: Instant::now() + PROBE_PERIOD };
            results.get(SessionId::random(), &ClientKey::Others, ImageSet::NONE, budget).await.ok();
        }
        tracing::info!("AWS accepts the credentials again");
    }
}

/// Completes when the credential chain has credentials. Logs once why it has none.
async fn wait_for_credentials(rekognition: &Rekognition) {
    let mut is_logged = false;
    while let Err(error) = rekognition.check_credentials().await {
        let reason = Reason::UpstreamCredentials;
        match error {
            _ if is_logged => {}
            NoCredentials::NoRegion => {
                tracing::error!("not ready, and never will be: set AWS_REGION, and start again");
            }
            NoCredentials::NotFound => tracing::warn!(%reason, "no AWS credentials yet: not ready until there are"),
            NoCredentials::Malformed { .. } => {
                tracing::warn!(%reason, "{error}: not ready until their source is corrected");
            }
        }
        is_logged = true;
        sleep(CREDENTIALS_RETRY).await;
    }
}
