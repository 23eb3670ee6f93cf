//! What AWS's standard chain of settings comes to: only when it is loaded are a profile's values
//! known.

use super::{FACE_LIVENESS_REGIONS, Rekognition};
use aws_config::SdkConfig;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::{
    os_shim_internal::{Env, Fs},
    service_config::ServiceConfigKey,
};
use std::{error, iter};
use tonic::codegen::http::Uri;
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

/// A client as AWS's standard chain describes it, and what an operator has to know of that, in a
/// sentence each.
pub struct Loaded {
    pub rekognition: Rekognition,
    /// Bad values: the SDK would panic, or read from an endpoint that the operator did not choose.
    pub malformed: Vec<String>,
    /// What has to be configured before a read is possible.
    pub missing: Vec<String>,
    /// What is probably not meant so.
    pub warnings: Vec<String>,
}

/// Decides whether a region's name is well-formed: it becomes a part of a host name.
pub fn is_region(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-')
}

/// Decides whether this is a URL of HTTP with a host, and with a good port if any.
pub fn is_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let has_host = uri.authority().is_some_and(|authority| {
        let (host, all) = (authority.host(), authority.as_str());
        !host.is_empty() && (authority.port_u16().is_some() || all.ends_with(host))
    });
    has_host && matches!(uri.scheme_str(), Some("http" | "https"))
}

/// Shows a bad value at the end of a sentence, unless it can be a URL with a password.
pub fn shown(value: &str) -> String {
    if value.contains('@') { String::new() } else { format!(", and is {value:?}") }
}

/// Returns what is wrong with the region and the endpoint. The environment's own are good by now.
pub(super) fn malformed(shared: &SdkConfig) -> Vec<String> {
    let region =
        shared.region().map(|region| region.as_ref()).filter(|region| !region.is_empty() && !is_region(region));
    let region = region
        .map(|region| format!("the region of the AWS profile must be a region such as us-east-1{}", shown(region)));
    let endpoint = endpoint(shared).filter(|endpoint| !is_url(endpoint)).map(|endpoint| {
        format!(
            "the endpoint_url of the AWS profile must be a URL such as https://rekognition.us-east-1.amazonaws.com{}",
            shown(&endpoint)
        )
    });
    region.into_iter().chain(endpoint).collect()
}

/// Returns the endpoint that the SDK would take, as it is spelled.
fn endpoint(shared: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id("Rekognition").env("AWS_ENDPOINT_URL").profile("endpoint_url");
    shared.service_config()?.load_config(key.build().expect("all three are set"))
}

/// Returns why no region is configured, or a warning about the one that is. AWS says of an
/// unsupported region no more than AccessDenied, and of a wrong one that it knows no session.
pub(super) fn judge_region(region: Option<&str>) -> Result<Option<String>, String> {
    let regions = FACE_LIVENESS_REGIONS.join(", ");
    match region {
        None => Err(format!("no AWS region is configured: set AWS_REGION to one that has Face Liveness ({regions})")),
        Some(region) if !FACE_LIVENESS_REGIONS.contains(&region) => Ok(Some(format!(
            "{region} has no Face Liveness as far as this version knows; these regions have it: {regions}"
        ))),
        Some(_) => Ok(None),
    }
}

/// Returns why AWS's files give no credentials: one cannot be parsed, or none has the profile that
/// AWS_PROFILE names. If the SDK finds credentials elsewhere, it can fail to refresh them later.
pub(super) async fn judge_profile() -> Option<String> {
    // The SDK has loaded the same files, and has logged what is wrong with them.
    let (fs, env, files) = (Fs::real(), Env::real(), EnvConfigFiles::default());
    let loaded = aws_config::profile::load(&fs, &env, &files, None).with_subscriber(NoSubscriber::default());
    match loaded.await {
        Ok(profiles) => {
            let named = std::env::var("AWS_PROFILE").ok().filter(|named| profiles.get_profile(named).is_none());
            named.map(|named| {
                format!("AWS_PROFILE is {named:?}, and no AWS configuration file has that profile: add it, or unset AWS_PROFILE")
            })
        }
        Err(error) => {
            let causes = iter::successors(Some(&error as &dyn error::Error), |error| error.source());
            let causes: Vec<_> = causes.map(|cause| cause.to_string().replace("\n ", "")).collect();
            Some(format!("an AWS configuration file cannot be used: {}", causes.join(": ")))
        }
    }
}

/// Decides whether the environment itself has a key. Then no profile is looked at for one.
pub(super) fn environment_has_key() -> bool {
    let is_set = |name| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    is_set("AWS_ACCESS_KEY_ID") && is_set("AWS_SECRET_ACCESS_KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_a_label_of_a_host_name() {
        for good in ["us-east-1", "ap-southeast-7", "simulated"] {
            assert!(is_region(good), "{good:?}");
        }
        for bad in ["", "US-EAST-1", "us east", "us-east-1\n", "-", "us-east-1-", "us.east", &"a".repeat(64)] {
            assert!(!is_region(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_url_has_a_host_and_a_good_port() {
        for good in
            ["http://127.0.0.1:4580", "https://rekognition.us-east-1.amazonaws.com/", "http://[::1]:1", "http://a@b"]
        {
            assert!(is_url(good), "{good:?}");
        }
        for bad in
            ["", "nonsense", "localhost:4580", "http://", "http://:1", "http://h:99999", "http://h:", "http://h\n"]
        {
            assert!(!is_url(bad), "{bad:?}");
        }
    }
}
