//! Rejects credentials that are no valid header values: the SDK panics on them. Keeps the last
//! credentials for a refresh that fails.

mod chain;

pub use chain::Chain;

use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_rekognition::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use futures_util::FutureExt;
use std::{
    error, fmt,
    panic::AssertUnwindSafe,
    sync::{Mutex, MutexGuard},
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// The least time between two refreshes while they fail and the last credentials are valid.
const REFRESH_PERIOD: Duration = Duration::from_secs(5);

/// Why reads cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCredentials {
    /// No region is configured.
    NoRegion,
    /// The chain has no credentials, or their provider fails.
    NotFound,
    /// A part of the credentials is not a valid header value.
    Malformed { part: &'static str, flaw: &'static str },
}

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRegion => f.write_str("no AWS region is configured"),
            Self::NotFound => f.write_str("there are no AWS credentials"),
            Self::Malformed { part, flaw } => write!(f, "the {part} of the AWS credentials contains {flaw}"),
        }
    }
}

impl error::Error for NoCredentials {}

impl NoCredentials {
    /// Returns the cause of an error of a [`Checked`] provider.
    pub fn of(error: &CredentialsError) -> Self {
        let malformed = error::Error::source(error).and_then(|source| source.downcast_ref());
        malformed.copied().unwrap_or(Self::NotFound)
    }
}

/// Returns what makes a key or token invalid as a header value.
pub fn flaw_of_credential(text: &str) -> Option<&'static str> {
    let has = |what: fn(char) -> bool| text.contains(what);
    if has(|c| matches!(c, '\n' | '\r')) {
        Some("a line break")
    } else if has(char::is_whitespace) {
        Some("white space")
    } else if has(char::is_control) {
        Some("a control character")
    } else {
        (!text.is_ascii()).then_some("a character that is not ASCII")
    }
}

/// A provider that returns only valid credentials. A panic of the inner provider is an error: it
/// signs requests itself, with credentials that are not checked here.
///
/// The SDK refreshes credentials shortly before they expire. If that fails, the last ones are
/// returned while they are valid.
#[derive(Debug)]
pub struct Checked {
    provider: SharedCredentialsProvider,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    credentials: Option<Credentials>,
    /// When the refresh began that failed or has not ended.
    refreshed_at: Option<Instant>,
}

impl Checked {
    pub fn new(provider: SharedCredentialsProvider) -> Self {
        Self { provider, last: Mutex::default() }
    }

    async fn provide(&self) -> Result<Credentials, CredentialsError> {
        let now = Instant::now();
        let refreshed_at = self.lock().refreshed_at.replace(now);
        if refreshed_at.is_some_and(|at| now < at + REFRESH_PERIOD)
            && let Some(last) = self.unexpired()
        {
            self.lock().refreshed_at = refreshed_at;
            return Ok(last);
        }
        match self.load().await {
            Ok(credentials) => {
                *self.lock() = Last { credentials: Some(credentials.clone()), refreshed_at: None };
                Ok(credentials)
            }
            Err(error) => self.unexpired().ok_or(error),
        }
    }

    async fn load(&self) -> Result<Credentials, CredentialsError> {
        let provided = AssertUnwindSafe(self.provider.provide_credentials()).catch_unwind().await;
        let credentials = provided.map_err(|_| CredentialsError::unhandled("the provider panicked"))??;
        let parts = [
            ("access key id", Some(credentials.access_key_id())),
            ("secret access key", Some(credentials.secret_access_key())),
            ("session token", credentials.session_token()),
        ];
        for (part, text) in parts {
            if let Some(flaw) = text.and_then(flaw_of_credential) {
                return Err(CredentialsError::invalid_configuration(NoCredentials::Malformed { part, flaw }));
            }
        }
        Ok(credentials)
    }

    /// Returns the last credentials while they are valid.
    fn unexpired(&self) -> Option<Credentials> {
        let now = SystemTime::now();
        let last = self.lock().credentials.clone();
        last.filter(|last| last.expiry().is_none_or(|expiry| expiry > now))
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().expect("no code panics under this lock")
    }
}

impl ProvideCredentials for Checked {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }

    /// Returns what a read uses if the load takes too long.
    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.provider.fallback_on_interrupt().or_else(|| self.unexpired())
    }
}

#[cfg(test)]
mod tests;
