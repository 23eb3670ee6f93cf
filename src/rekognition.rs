//! The one call to AWS: the client, its timeouts, and where it may find Face Liveness.
//!
//! One `read` is one HTTP attempt. The SDK's own retries are off, since they would spend the quota
//! behind the service's back. What is cached or retried is not known here.

mod answer_limit;
mod credentials;
mod panics;
mod settings;

pub use credentials::{NoCredentials, flaw_of_credential};
pub use settings::{Loaded, is_region, is_url, shown};

use crate::{
    convert,
    error::{Error, Reason, cleaned_request_id},
    proto,
    session::SessionId,
    telemetry::spans,
};
use answer_limit::AnswerLimit;
use aws_config::{BehaviorVersion, SdkConfig, identity::IdentityCache, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_rekognition::{
    Client,
    config::{Builder, Credentials, HttpClient, ProvideCredentials, Region, SharedCredentialsProvider},
    operation::RequestId,
};
use aws_smithy_http_client::tls;
use credentials::Checked;
use std::{sync::Arc, time::Duration};

/// The regions that have Face Liveness. Elsewhere Rekognition answers AccessDenied, or not at all.
/// <https://docs.aws.amazon.com/general/latest/gr/rekognition.html>
pub const FACE_LIVENESS_REGIONS: [&str; 8] = [
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-5",
    "ap-southeast-7",
    "eu-west-1",
    "sa-east-1",
    "us-east-1",
    "us-west-2",
];

/// The regions where AWS grants 25 reads a second to an account; in the others it is 5.
const LARGE_QUOTA_REGIONS: [&str; 2] = ["us-east-1", "us-west-2"];

/// A connection takes a round trip or three; one that has none after this long will not come. The
/// SDK's own default.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);

/// All of AWS's chain has answered by then, IMDS's three tries of a second each included.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);

/// What a read said.
#[derive(Debug)]
pub struct Read {
    pub result: proto::LivenessResult,
    /// AWS's request id, which its support asks for.
    pub aws_request_id: Option<String>,
}

/// Amazon Rekognition in one region, by one set of credentials. Cheap to clone.
#[derive(Clone)]
pub struct Rekognition {
    client: Client,
    credentials: Option<SharedCredentialsProvider>,
    region: Option<Arc<str>>,
}

impl Rekognition {
    /// A client set up by AWS's standard chain: environment, profile (SSO and `credential_process`
    /// too), web identity (IRSA), EKS Pod Identity, IMDS; region, endpoint and proxy by their usual
    /// variables. Contacts nothing yet.
    ///
    /// `timeout` bounds one read and all that belongs to it: credentials, connection, request,
    /// answer.
    pub async fn from_environment(timeout: Duration) -> Loaded {
        // The retry setting keeps AWS_MAX_ATTEMPTS unread: the SDK panics on a bad one, and it
        // would have no meaning here.
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).retry_config(RetryConfig::disabled());
        let shared = loader.load().await;
        let rekognition = Self::new(&shared, timeout);
        let (mut missing, mut warnings) = (Vec::new(), Vec::new());
        match settings::judge_region(rekognition.region()) {
            Ok(warning) => warnings.extend(warning),
            Err(sentence) => missing.push(sentence),
        }
        let profile = settings::judge_profile().await;
        if settings::environment_has_key() { &mut warnings } else { &mut missing }.extend(profile);
        Loaded { rekognition, malformed: settings::malformed(&shared), missing, warnings }
    }

    /// A client of a stand-in for Rekognition, such as the simulator: any credentials, and no proxy
    /// between, whatever the environment says.
    pub fn at(endpoint: &str, region: &str, timeout: Duration) -> Self {
        let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
        let http = aws_smithy_http_client::Builder::new().tls_provider(provider).build_https();
        Self::with_http_client(http, endpoint, region, timeout)
    }

    /// A client of whatever answers `http`, with any credentials.
    fn with_http_client(http: impl HttpClient + 'static, endpoint: &str, region: &str, timeout: Duration) -> Self {
        let credentials = Credentials::new("simulator", "simulator", None, None, "simulator");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http)
            .build();
        Self::new(&config, timeout)
    }

    fn new(shared: &SdkConfig, timeout: Duration) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .read_timeout(timeout)
            .operation_attempt_timeout(timeout)
            .operation_timeout(timeout)
            .build();
        // Sooner than the whole read, so that a credential provider that hangs is told from an AWS
        // that does.
        let identity_cache = IdentityCache::lazy().load_timeout(timeout.mul_f64(0.8)).build();
        let checked = |provider| SharedCredentialsProvider::new(Checked(provider));
        let credentials = shared.credentials_provider().map(checked);
        // An empty region of a profile is none.
        let region = shared.region().filter(|region| !region.as_ref().is_empty());
        let mut config = Builder::from(shared)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .identity_cache(identity_cache)
            .interceptor(AnswerLimit);
        config.set_credentials_provider(credentials.clone()).set_region(region.cloned());
        let region = region.map(|region| region.as_ref().into());
        Self { client: Client::from_conf(config.build()), credentials, region }
    }

    /// The region that is asked, when one is configured.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The reads a second that AWS grants an account in this region, unless it was asked for more.
    /// <https://docs.aws.amazon.com/general/latest/gr/rekognition.html>
    pub fn default_quota(&self) -> f64 {
        match self.region() {
            Some(region) if LARGE_QUOTA_REGIONS.contains(&region) => 25.0,
            _ => 5.0,
        }
    }

    /// What AWS says of a session now, image content included. `caller` is whom a trace shows the
    /// read under.
    ///
    /// # Errors
    /// Every `UPSTREAM_…` reason, SESSION_NOT_FOUND, and INTERNAL when the SDK panics.
    pub async fn read(&self, id: SessionId, caller: &spans::Caller) -> Result<Read, Error> {
        let span = spans::read(caller);
        let session_id = id.to_wire();
        let answer =
            panics::catch(self.client.get_face_liveness_session_results().session_id(&session_id).send()).await;
        let request_id = answer.as_ref().and_then(|answer| answer.request_id()).map(cleaned_request_id);
        let read = match answer {
            Some(answer) => {
                answer.map_err(Error::from).and_then(|output| convert::liveness_result(&session_id, output))
            }
            None => Err(Error::new(Reason::Internal)),
        };
        spans::read_ended(&span, request_id.as_deref(), &read);
        read.map(|result| Read { result, aws_request_id: request_id })
    }

    /// Asks the credential chain once, as a read would. Nothing is sent to Rekognition.
    ///
    /// # Errors
    /// When the chain has no credentials that can sign a read, or no region is configured.
    pub async fn check_credentials(&self) -> Result<(), NoCredentials> {
        self.region().ok_or(NoCredentials::NoRegion)?;
        let provider = self.credentials.as_ref().ok_or(NoCredentials::NotFound)?;
        // A provider that hangs, such as a process, would be asked once and never again.
        let asked = tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await;
        let provided = asked.map_err(|_| NoCredentials::NotFound)?;
        provided.map(drop).map_err(|error| NoCredentials::of(&error))
    }
}

#[cfg(all(any(test, fuzzing), feature = "simulator"))]
mod in_process;
