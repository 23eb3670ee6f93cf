//! Credentials that can sign a request: the SDK panics on those that no HTTP header can hold.

use super::panics::catch;
use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_rekognition::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use std::{error, fmt};

/// Why no read can be signed, for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCredentials {
    /// No region is configured.
    NoRegion,
    /// The chain has no credentials, or their provider fails.
    NotFound,
    /// A part of the credentials contains what no part may contain.
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
    /// Returns what a [`Checked`] provider says of its error.
    pub fn of(error: &CredentialsError) -> Self {
        let malformed = error::Error::source(error).and_then(|source| source.downcast_ref());
        malformed.copied().unwrap_or(Self::NotFound)
    }
}

/// Returns what a key or a token must not contain and this one does.
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

/// A provider whose credentials the SDK can sign with. One that panics is one that fails: a
/// provider signs requests too, with credentials that are not seen here.
#[derive(Debug)]
pub struct Checked(pub SharedCredentialsProvider);

impl Checked {
    async fn provide(&self) -> Result<Credentials, CredentialsError> {
        let provided = catch(self.0.provide_credentials()).await;
        let credentials = provided.ok_or_else(|| CredentialsError::unhandled("the provider panicked"))??;
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
}

impl ProvideCredentials for Checked {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.0.fallback_on_interrupt()
    }
}
