//! AWS's standard chain of credentials, built anew for each load: its profile provider parses its
//! files only once, and would never see a replaced file.

use super::NoCredentials;
use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig};
use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_rekognition::config::{Credentials, ProvideCredentials, Region, SharedHttpClient};
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

/// The attempts of a request to STS or SSO. The second corrects a wrong clock.
const ATTEMPTS: u32 = 2;

/// The standard chain.
#[derive(Debug)]
pub struct Chain {
    region: Option<Region>,
    http: Option<SharedHttpClient>,
}

impl Chain {
    /// Returns the chain of this region, so that it is not looked up again, and HTTP client.
    pub fn new(shared: &SdkConfig) -> Self {
        Self { region: shared.region().cloned(), http: shared.http_client() }
    }

    async fn provide(&self) -> Result<Credentials, CredentialsError> {
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        let loader = self.region.iter().cloned().fold(loader, |loader, region| loader.region(region));
        let loader = self.http.iter().cloned().fold(loader, |loader, http| loader.http_client(http));
        // What is wrong with the files was logged at start.
        let shared = loader.load().with_subscriber(NoSubscriber::default()).await;
        let chain = shared.credentials_provider();
        let chain = chain.ok_or_else(|| CredentialsError::not_loaded(NoCredentials::NotFound))?;
        chain.provide_credentials().await
    }
}

impl ProvideCredentials for Chain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}
