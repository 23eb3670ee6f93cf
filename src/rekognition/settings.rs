//! Validates the settings that AWS's standard chain loads, including those of a profile.

use super::http::ca_bundle;
use aws_config::{SdkConfig, profile::ProfileSet};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_rekognition::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_smithy_http_client::tls::TlsContext;
use aws_types::{
    os_shim_internal::{Env, Fs},
    service_config::ServiceConfigKey,
};
use std::{error, iter, path::PathBuf};
use tonic::codegen::http::Uri;
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

/// The regions with Face Liveness. Elsewhere Rekognition returns AccessDenied, or does not exist.
/// <https://docs.aws.amazon.com/general/latest/gr/rekognition.html>
const FACE_LIVENESS_REGIONS: [&str; 8] = [
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-5",
    "ap-southeast-7",
    "eu-west-1",
    "sa-east-1",
    "us-east-1",
    "us-west-2",
];

/// Whether a region is a valid label of a host name.
pub fn is_region(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether this is an HTTP or HTTPS URL with a host, and with a valid port if any.
pub fn is_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let has_host = uri.authority().is_some_and(|authority| {
        let (host, all) = (authority.host(), authority.as_str());
        !host.is_empty() && (authority.port_u16().is_some() || all.ends_with(host))
    });
    has_host && matches!(uri.scheme_str(), Some("http" | "https"))
}

/// Returns the end of a sentence that shows an invalid value, unless it may contain a password.
pub fn shown(value: &str) -> String {
    if value.contains('@') { String::new() } else { format!(", and is {value:?}") }
}

/// Returns the problems of the region and the endpoint of a profile. Those of the environment are
/// validated before.
pub(super) fn malformed(shared: &SdkConfig) -> Vec<String> {
    let region =
        shared.region().map(|region| region.as_ref()).filter(|region| !region.is_empty() && !is_region(region));
    let region = region
        .map(|region| format!("the region of the AWS profile must be a region such as us-east-1{}", shown(region)));
    let configured = endpoint(shared);
    let endpoint = configured.as_ref().filter(|endpoint| !is_url(endpoint)).map(|endpoint| {
        format!(
            "the endpoint_url of the AWS profile must be a URL such as https://rekognition.us-east-1.amazonaws.com{}",
            shown(endpoint)
        )
    });
    let variants = [
        (shared.use_fips(), "AWS_USE_FIPS_ENDPOINT (use_fips_endpoint)"),
        (shared.use_dual_stack(), "AWS_USE_DUALSTACK_ENDPOINT (use_dualstack_endpoint)"),
    ];
    let variants = variants.into_iter().filter(|(is_used, _)| configured.is_some() && *is_used == Some(true));
    let variants = variants.map(|(_, name)| {
        format!("{name} cannot be true while AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_REKOGNITION or endpoint_url names another endpoint")
    });
    region.into_iter().chain(endpoint).chain(variants).collect()
}

/// Returns the URL that reads are sent to, without a password, unless a setting is missing or
/// malformed.
pub(super) async fn endpoint_in_use(shared: &SdkConfig) -> Option<String> {
    let configured = endpoint(shared);
    // The SDK panics on an empty one.
    if configured.as_ref().is_some_and(|endpoint| !is_url(endpoint)) {
        return None;
    }
    let params = Params::builder()
        .set_region(shared.region().map(ToString::to_string))
        .set_use_fips(shared.use_fips())
        .set_use_dual_stack(shared.use_dual_stack())
        .set_endpoint(configured);
    let resolved = DefaultResolver::new().resolve_endpoint(&params.build().ok()?).await;
    let url = resolved.ok()?.url().to_owned();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => Some(format!("{scheme}://{host}")),
        _ => Some(url),
    }
}

/// Returns the text of the endpoint that the SDK would use.
fn endpoint(shared: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id("Rekognition").env("AWS_ENDPOINT_URL").profile("endpoint_url");
    shared.service_config()?.load_config(key.build().expect("all three are set"))
}

/// Returns an error if no region is configured, or a warning if it has no Face Liveness. In such a
/// region AWS only returns AccessDenied, and in a wrong one SessionNotFound.
pub(super) fn check_region(region: Option<&str>) -> Result<Option<String>, String> {
    let regions = FACE_LIVENESS_REGIONS.join(", ");
    match region {
        None => Err(format!("no AWS region is configured: set AWS_REGION to one that has Face Liveness ({regions})")),
        Some(region) if !FACE_LIVENESS_REGIONS.contains(&region) => Ok(Some(format!(
            "{region} has no Face Liveness as far as this version knows; these regions have it: {regions}"
        ))),
        Some(_) => Ok(None),
    }
}

/// Loads AWS's configuration files.
///
/// # Errors
/// One cannot be parsed.
pub(super) async fn profiles() -> Result<ProfileSet, String> {
    // The SDK loads the same files, and logs their errors.
    let (fs, env, files) = (Fs::real(), Env::real(), EnvConfigFiles::default());
    let loaded = aws_config::profile::load(&fs, &env, &files, None).with_subscriber(NoSubscriber::default());
    loaded.await.map_err(|error| {
        let causes = iter::successors(Some(&error as &dyn error::Error), |error| error.source());
        let causes: Vec<_> = causes.map(|cause| cause.to_string().replace("\n ", "")).collect();
        format!("an AWS configuration file cannot be used: {}", causes.join(": "))
    })
}

/// Returns an error if AWS_PROFILE, or the source of the profile in use, does not exist. If the SDK
/// finds credentials elsewhere, it may fail to refresh them later.
pub(super) fn check_profile(profiles: &ProfileSet) -> Result<(), String> {
    let named = variable("AWS_PROFILE");
    let source = profiles.get("source_profile").map(ToOwned::to_owned);
    let fix = [(named, "AWS_PROFILE", "unset AWS_PROFILE"), (source, "source_profile", "change source_profile")];
    let missing = fix.into_iter().find_map(|(name, setting, fix)| {
        name.filter(|name| profiles.get_profile(name).is_none()).map(|name| (name, setting, fix))
    });
    let Some((name, setting, fix)) = missing else { return Ok(()) };
    let config = variable("AWS_CONFIG_FILE").unwrap_or_else(|| "~/.aws/config".to_owned());
    let credentials = variable("AWS_SHARED_CREDENTIALS_FILE").unwrap_or_else(|| "~/.aws/credentials".to_owned());
    let name = name.escape_debug();
    Err(format!("{setting}: profile {name} does not exist in {config} or {credentials}: add it, or {fix}"))
}

/// Returns the CAs that AWS's endpoints are verified with: those of AWS_CA_BUNDLE, else of the
/// profile's ca_bundle, else the system's.
pub(super) async fn trust(profiles: Option<&ProfileSet>) -> Result<TlsContext, String> {
    let in_profile = || profiles.and_then(|profiles| profiles.get("ca_bundle")).map(ToOwned::to_owned);
    let Some(path) = variable("AWS_CA_BUNDLE").or_else(in_profile).map(PathBuf::from) else {
        return Ok(TlsContext::default());
    };
    let shown = path.display().to_string();
    let trust = tokio::task::spawn_blocking(move || ca_bundle::trust(&path)).await;
    let trust = trust.expect("reading a file does not panic");
    trust.map_err(|flaw| format!("AWS_CA_BUNDLE (ca_bundle of the AWS profile): {shown} {flaw}"))
}

/// Returns a variable that has a value.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the environment itself has a key. Then the SDK does not use a profile's.
pub(super) fn environment_has_key() -> bool {
    let is_set = |name| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    is_set("AWS_ACCESS_KEY_ID") && is_set("AWS_SECRET_ACCESS_KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_a_label_of_a_host_name() {
        for valid in ["us-east-1", "ap-southeast-7", "simulated"] {
            assert!(is_region(valid), "{valid:?}");
        }
        for invalid in ["", "US-EAST-1", "us east", "us-east-1\n", "-", "us-east-1-", "us.east", &"a".repeat(64)] {
            assert!(!is_region(invalid), "{invalid:?}");
        }
    }

    #[test]
    fn a_url_has_a_host_and_a_valid_port() {
        for valid in
            ["http://127.0.0.1:4580", "https://rekognition.us-east-1.amazonaws.com/", "http://[::1]:1", "http://a@b"]
        {
            assert!(is_url(valid), "{valid:?}");
        }
        for invalid in
            ["", "nonsense", "localhost:4580", "http://", "http://:1", "http://h:99999", "http://h:", "http://h\n"]
        {
            assert!(!is_url(invalid), "{invalid:?}");
        }
    }
}
