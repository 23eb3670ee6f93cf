use super::*;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// A provider that succeeds once, and then fails or hangs.
#[derive(Debug)]
struct Once {
    credentials: Credentials,
    hangs: bool,
    loads: Arc<AtomicU32>,
}

impl ProvideCredentials for Once {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self.loads.fetch_add(1, Ordering::SeqCst) {
            0 => future::ProvideCredentials::ready(Ok(self.credentials.clone())),
            _ if self.hangs => future::ProvideCredentials::new(std::future::pending()),
            _ => future::ProvideCredentials::ready(Err(CredentialsError::unhandled("STS is unavailable"))),
        }
    }
}

/// Returns a provider whose credentials expire this number of seconds after its first load, and the
/// number of loads.
async fn loaded(validity: i64, hangs: bool) -> (Checked, Arc<AtomicU32>) {
    let now = SystemTime::now();
    let distance = Duration::from_secs(validity.unsigned_abs());
    let expiry = if validity < 0 { now - distance } else { now + distance };
    let (credentials, loads) = (Credentials::new("key", "secret", None, Some(expiry), "test"), Arc::default());
    let once = Once { credentials, hangs, loads: Arc::clone(&loads) };
    let checked = Checked::new(SharedCredentialsProvider::new(once));
    checked.provide_credentials().await.expect("the first load succeeds");
    (checked, loads)
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_returns_the_last_credentials_while_they_are_valid() {
    let (checked, _) = loaded(60, false).await;
    assert_eq!(checked.provide_credentials().await.expect("the last are valid").access_key_id(), "key");
    let (checked, _) = loaded(-60, false).await;
    checked.provide_credentials().await.expect_err("the last have expired");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_is_repeated_once_in_five_seconds() {
    let (checked, loads) = loaded(60, false).await;
    for _ in 0..50 {
        checked.provide_credentials().await.expect("the last are valid");
    }
    assert_eq!(loads.load(Ordering::SeqCst), 2);
    tokio::time::advance(REFRESH_PERIOD).await;
    checked.provide_credentials().await.expect("the last are valid");
    assert_eq!(loads.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_hangs_leaves_the_last_credentials_while_they_are_valid() {
    let (checked, _) = loaded(60, true).await;
    let hanging = tokio::time::timeout(Duration::from_secs(4), checked.provide_credentials());
    hanging.await.expect_err("the provider hangs");
    assert_eq!(checked.fallback_on_interrupt().expect("the last are valid").access_key_id(), "key");
    assert_eq!(checked.provide_credentials().await.expect("no other load begins").access_key_id(), "key");
    assert!(loaded(-60, true).await.0.fallback_on_interrupt().is_none(), "the last have expired");
}
