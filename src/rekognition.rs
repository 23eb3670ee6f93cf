//! The AWS client: one read, its timeouts, and the regions with Face Liveness. AWS types are known
//! only here.
//!
//! One `read` is one HTTP attempt. The SDK's retries are off, since the rate limiter must count
//! each attempt. Caching and retries are not known here.

mod clock;
pub mod convert;
mod credentials;
mod error;
mod http;
mod reload;
mod response_limit;
mod settings;

pub use credentials::{NoCredentials, flaw_of_credential};
pub use settings::{is_region, is_url, shown};

use crate::{
    error::{Error, Reason, sanitized_request_id},
    proto,
    session::SessionId,
    telemetry::spans,
};
use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_rekognition::{
    config::{
        Builder, Credentials, HttpClient, ProvideCredentials, Region, SharedCredentialsProvider, SharedInterceptor,
    },
    operation::RequestId,
};
use aws_smithy_http_client::{proxy::ProxyConfig, tls::TlsContext};
use clock::Clock;
use credentials::{Chain, Checked};
use futures_util::FutureExt;
use http::{Http, ReplaceSilent};
use reload::ReloadingClient;
use response_limit::ResponseLimit;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The regions with a default quota of 25 reads per second and account. In the others it is 5.
const LARGE_QUOTA_REGIONS: [&str; 2] = ["us-east-1", "us-west-2"];

/// The timeout of a connection. TCP repeats a lost packet after one second. A longer timeout would
/// leave a caller no time for the next address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout of the credential chain. It is above that of IMDS: three attempts of one second.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);

/// A client configured by AWS's standard chain, and one sentence for each problem.
pub struct Loaded {
    pub rekognition: Rekognition,
    /// The URL that reads are sent to.
    pub endpoint: Option<String>,
    /// Invalid values: the SDK would panic, or read from an endpoint that the operator did not
    /// choose.
    pub malformed: Vec<String>,
    /// Settings without which no read is possible.
    pub missing: Vec<String>,
    /// Likely mistakes.
    pub warnings: Vec<String>,
}

/// The result of a read.
#[derive(Debug)]
pub struct Read {
    pub result: proto::LivenessResult,
    /// AWS's request id, which AWS support needs.
    pub aws_request_id: Option<String>,
}

/// A client of Amazon Rekognition in one region, with one set of credentials. Cheap to clone.
#[derive(Clone)]
pub struct Rekognition {
    client: Arc<ReloadingClient>,
    clock: Clock,
    credentials: Option<SharedCredentialsProvider>,
    region: Option<Arc<str>>,
}

impl Rekognition {
    /// Returns a client configured by AWS's standard chain: environment, profile (including SSO and
    /// `credential_process`), web identity (IRSA), EKS Pod Identity, IMDS; region, endpoint and
    /// proxy by their usual variables. Reads nothing from AWS yet.
    ///
    /// `timeout` limits one read, including credentials, connection, request and response.
    pub async fn from_environment(timeout: Duration) -> Loaded {
        // The retry setting keeps the SDK from reading AWS_MAX_ATTEMPTS: it panics on an invalid
        // value, and the variable has no meaning here.
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).retry_config(RetryConfig::disabled());
        let profiles = settings::profiles().await;
        let (tls, bad_bundle) = match settings::trust(profiles.as_ref().ok()).await {
            Ok(tls) => (tls, None),
            Err(sentence) => (TlsContext::default(), Some(sentence)),
        };
        let http = Http::new(tls, ProxyConfig::from_env());
        let shared = loader.http_client(http.clone()).load().await;
        let chain = SharedCredentialsProvider::new(Chain::new(&shared));
        let rekognition = Self::new(&shared, Some(chain), timeout, Some(http));
        let (mut missing, mut warnings) = (Vec::new(), Vec::new());
        match settings::check_region(rekognition.region()) {
            Ok(warning) => warnings.extend(warning),
            Err(sentence) => missing.push(sentence),
        }
        let profile = profiles.and_then(|profiles| settings::check_profile(&profiles)).err();
        if settings::environment_has_key() { &mut warnings } else { &mut missing }.extend(profile);
        let malformed = bad_bundle.into_iter().chain(settings::malformed(&shared)).collect();
        Loaded { rekognition, endpoint: settings::endpoint_in_use(&shared).await, malformed, missing, warnings }
    }

    /// Returns a client of another endpoint, such as the simulator. It uses fake credentials, and
    /// ignores the proxy of the environment.
    pub fn at(endpoint: &str, region: &str, timeout: Duration) -> Self {
        let http = Http::new(TlsContext::default(), ProxyConfig::disabled());
        Self::new(&Self::fake(http.clone(), endpoint, region), None, timeout, Some(http))
    }

    /// Returns the configuration of a client with this HTTP client and fake credentials.
    fn fake(http: impl HttpClient + 'static, endpoint: &str, region: &str) -> SdkConfig {
        let credentials = Credentials::new("simulator", "simulator", None, None, "simulator");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http)
            .build()
    }

    /// Without a `chain`, the credentials are those of `shared`. Reconnects `http`, if that is its
    /// HTTP client.
    fn new(
        shared: &SdkConfig,
        chain: Option<SharedCredentialsProvider>,
        timeout: Duration,
        http: Option<Http>,
    ) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(timeout / 2))
            .read_timeout(timeout)
            .operation_attempt_timeout(timeout)
            .operation_timeout(timeout)
            .build();
        let can_reload = chain.is_some();
        let checked = |provider| SharedCredentialsProvider::new(Checked::new(provider));
        let credentials = chain.or_else(|| shared.credentials_provider()).map(checked);
        let clock = Clock::default();
        // A profile can have an empty region.
        let region = shared.region().filter(|region| !region.as_ref().is_empty());
        let mut config = Builder::from(shared)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .time_source(clock.clone())
            .disable_clock_skew_correction(true)
            .interceptor(ResponseLimit);
        if let Some(http) = http {
            config.push_interceptor(SharedInterceptor::new(ReplaceSilent(http)));
        }
        config.set_credentials_provider(credentials.clone()).set_region(region.cloned());
        let region = region.map(|region| region.as_ref().into());
        // Shorter than the read, to distinguish a slow credential provider from a slow AWS.
        let client = ReloadingClient::new(config, timeout.mul_f64(0.8), can_reload);
        Self { client: Arc::new(client), clock, credentials, region }
    }

    /// Returns the configured region.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Returns AWS's default quota in this region, in reads per second.
    /// <https://docs.aws.amazon.com/general/latest/gr/rekognition.html>
    pub fn default_quota(&self) -> f64 {
        match self.region() {
            Some(region) if LARGE_QUOTA_REGIONS.contains(&region) => 25.0,
            _ => 5.0,
        }
    }

    /// Reads a session from AWS, with image content. The span of the read is a child of `caller`.
    ///
    /// # Errors
    /// Any `UPSTREAM_…` reason, SESSION_NOT_FOUND, and INTERNAL if the SDK panics.
    pub async fn read(&self, id: SessionId, caller: &spans::Caller) -> Result<Read, Error> {
        let span = spans::read(caller);
        let session_id = id.to_wire();
        let ((client, generation), correction) = (self.client.current(), self.clock.correction());
        let response = client.get_face_liveness_session_results().session_id(&session_id).send();
        // The panic hook has logged where the SDK panicked.
        let response = AssertUnwindSafe(response).catch_unwind().await;
        let request_id = response.as_ref().ok().and_then(|response| response.request_id()).map(sanitized_request_id);
        let read = match response {
            Ok(Ok(output)) => {
                self.client.record(generation, None);
                convert::liveness_result(&session_id, output)
            }
            Ok(Err(sdk_error)) => {
                let mut error = error::from_sdk(&sdk_error);
                let rejection = error::rejected_signature(&sdk_error, error.aws_code.as_deref());
                error.is_corrected = rejection.is_some_and(|response| self.clock.learn(response, correction))
                    || self.client.record(generation, Some(&error));
                Err(error)
            }
            Err(_) => Err(Error::new(Reason::Internal)),
        };
        spans::record_read(&span, request_id.as_deref(), &read);
        read.map(|result| Read { result, aws_request_id: request_id })
    }

    /// Returns whether AWS rejects the credentials also after a reload, or none can be loaded.
    pub fn rejected(&self) -> watch::Receiver<bool> {
        self.client.is_rejected.subscribe()
    }

    /// Loads credentials once, as a read would. Sends nothing to Rekognition. They count as
    /// accepted until a read is rejected.
    ///
    /// # Errors
    /// The chain has no credentials that can sign a read, or no region is configured.
    pub async fn check_credentials(&self) -> Result<(), NoCredentials> {
        self.region().ok_or(NoCredentials::NoRegion)?;
        let provider = self.credentials.as_ref().ok_or(NoCredentials::NotFound)?;
        // A provider such as a process may never return.
        let provided = tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await;
        let provided = provided.map_err(|_| NoCredentials::NotFound)?;
        provided.map_err(|error| NoCredentials::of(&error))?;
        self.client.set_rejected(false);
        Ok(())
    }
}

#[cfg(all(any(test, fuzzing), feature = "simulator"))]
mod in_process;
