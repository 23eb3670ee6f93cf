//! Validates the variables of the AWS SDK and of OpenTelemetry.
//!
//! The AWS SDK panics on some invalid values. It ignores others with a line in the log, and may
//! then read from an endpoint that the operator did not choose.

use crate::{
    config::Variables,
    rekognition::{flaw_of_credential, is_region, is_url, shown},
};
use tonic::codegen::http::Uri;

/// Returns one sentence for each problem. No sentence contains a secret.
pub fn problems(variables: &Variables) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, value) in variables {
        if is_never_blank(name) && value.trim().is_empty() {
            problems.push(format!("{name} is set and has no value: give it one, or unset it"));
        } else if CREDENTIALS.contains(&name.as_str()) && !value.trim().is_empty() {
            problems.extend(flaw_of_credential(value).map(|flaw| format!("{name} contains {flaw}: set it without")));
        }
    }
    for (names, is_valid, rule) in RULES {
        for (name, value) in variables.iter().filter(|(name, _)| names.iter().any(|pattern| matches(pattern, name))) {
            // The SDKs treat any other empty value as absent.
            let is_reported = is_never_blank(name) && value.trim().is_empty();
            if !value.is_empty() && !is_reported && !is_valid(value) {
                problems.push(format!("{name} {rule}{}", shown(value)));
            }
        }
    }
    let set = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let is_true = |name: &&str| set(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    for variant in ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"].iter().filter(|name| is_true(name)) {
        for endpoint in ENDPOINTS.iter().filter(|name| set(name).is_some()) {
            problems.push(format!("{variant} cannot be true while {endpoint} names another endpoint"));
        }
    }
    problems
}

/// Whether a name matches a pattern: exactly, or by the prefix before a `*`.
fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// The endpoints of Rekognition and of the sources of credentials.
const ENDPOINTS: &[&str] = &[
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_REKOGNITION",
    "AWS_ENDPOINT_URL_SSO",
    "AWS_ENDPOINT_URL_SSO_OIDC",
    "AWS_ENDPOINT_URL_STS",
];

/// Variables whose empty value the AWS SDK uses: it hides the variable, file or provider that is
/// next in the chain, and an empty endpoint makes the SDK panic.
const NEVER_BLANK: &[&str] = &[
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN*",
    "AWS_CONTAINER_CREDENTIALS_*",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT*",
    "AWS_ENDPOINT_URL*",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_*",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

fn is_never_blank(name: &str) -> bool {
    NEVER_BLANK.iter().any(|pattern| matches(pattern, name))
}

/// Credentials, with the older name that the SDK also reads. It treats a blank one as absent.
const CREDENTIALS: &[&str] = &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SECRET_ACCESS_KEY"];

type Rule = (&'static [&'static str], fn(&str) -> bool, &'static str);

const RULES: &[Rule] = &[
    (
        &["AWS_MAX_ATTEMPTS"],
        |value| value.parse::<u32>().is_ok_and(|count| count > 0),
        "must be a whole number above 0",
    ),
    (
        &["AWS_RETRY_MODE"],
        |value| ["standard", "adaptive"].iter().any(|mode| value.eq_ignore_ascii_case(mode)),
        "must be standard or adaptive",
    ),
    (&["AWS_ENDPOINT_URL*"], is_url, "must be a URL such as https://rekognition.us-east-1.amazonaws.com"),
    (&["AWS_REGION", "AWS_DEFAULT_REGION"], is_region, "must be a region such as us-east-1"),
    (
        &["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_EC2_METADATA_DISABLED"],
        |value| ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word)),
        "must be true or false",
    ),
    // The SDK puts it into a header.
    (&["AWS_EXECUTION_ENV"], |value| !value.contains(char::is_control), "must be text on one line"),
    // If the SDK cannot parse the URL, it connects without a proxy.
    (
        &["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"],
        is_proxy,
        "must be the URL of a proxy, such as http://proxy.example.org:3128",
    ),
    (
        &["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"],
        is_url,
        "must be a URL such as http://collector:4317",
    ),
];

fn is_proxy(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        let scheme = uri.scheme_str().unwrap_or("http");
        uri.host().is_some_and(|host| !host.is_empty()) && (scheme.starts_with("http") || scheme.starts_with("socks"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(variables: &[(&str, &str)]) -> Vec<String> {
        problems(&variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn each_invalid_variable_is_reported_with_its_value() {
        for (name, value) in [
            ("AWS_MAX_ATTEMPTS", "0"),
            ("AWS_MAX_ATTEMPTS", "many"),
            ("AWS_RETRY_MODE", "never"),
            ("AWS_ENDPOINT_URL", "rekognition"),
            ("AWS_ENDPOINT_URL_REKOGNITION", "localhost:4580"),
            ("AWS_ENDPOINT_URL_STS", "sts"),
            ("AWS_REGION", "US East"),
            ("AWS_REGION", "us-east-1-"),
            ("AWS_USE_FIPS_ENDPOINT", "yes"),
            ("HTTPS_PROXY", "ftp://proxy:21"),
            ("http_proxy", "http://"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ] {
            let problems = problems_of(&[(name, value)]);
            assert!(matches!(&problems[..], [one] if one.contains(name) && one.contains(value)), "{problems:?}");
        }
    }

    #[test]
    fn a_variable_whose_blank_value_the_sdk_uses_must_not_be_blank() {
        for name in [
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_REKOGNITION",
            "AWS_ENDPOINT_URL_STS",
            "AWS_PROFILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
        ] {
            for value in ["", " ", "\n"] {
                let sentence = format!("{name} is set and has no value: give it one, or unset it");
                assert_eq!(problems_of(&[(name, value)]), [sentence]);
            }
        }
    }

    #[test]
    fn a_credential_that_is_no_header_value_is_reported_without_its_value() {
        for name in CREDENTIALS {
            for (value, flaw) in [
                ("hunter2\n", "a line break"),
                ("hunter2\r", "a line break"),
                (" hunter2", "white space"),
                ("hun\tter2", "white space"),
                ("hunter2\0", "a control character"),
                ("hunter\u{fffd}2", "a character that is not ASCII"),
            ] {
                assert_eq!(problems_of(&[(name, value)]), [format!("{name} contains {flaw}: set it without")]);
            }
        }
        assert_eq!(problems_of(&[("AWS_SESSION_TOKEN", ""), ("AWS_ACCESS_KEY_ID", "AKIA/+=")]), Vec::<String>::new());
    }

    #[test]
    fn a_url_with_a_password_is_not_shown() {
        for (name, value) in [
            ("HTTPS_PROXY", "http://user:hunter2@proxy:3128\n"),
            ("AWS_ENDPOINT_URL", "http://user:hunter2@endpoint:99999"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "user:hunter2@collector"),
        ] {
            let problems = problems_of(&[(name, value)]);
            assert!(matches!(&problems[..], [one] if one.contains(name) && !one.contains("hunter")), "{problems:?}");
        }
    }

    #[test]
    fn a_proxy_is_a_url_with_or_without_a_scheme() {
        for value in ["", "proxy:3128", "http://user:password@proxy:3128", "socks5h://proxy"] {
            assert_eq!(problems_of(&[("https_proxy", value)]), Vec::<String>::new());
        }
    }

    #[test]
    fn a_line_break_in_a_header_is_reported() {
        assert_eq!(problems_of(&[("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE\n")]).len(), 1);
    }

    #[test]
    fn a_named_endpoint_excludes_its_variants() {
        assert_eq!(problems_of(&[("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_ENDPOINT_URL", "http://here")]).len(), 1);
        assert_eq!(
            problems_of(&[("AWS_USE_DUALSTACK_ENDPOINT", "true"), ("AWS_ENDPOINT_URL", "http://here")]).len(),
            1
        );
    }

    #[test]
    fn valid_empty_and_absent_values_are_accepted() {
        assert_eq!(problems_of(&[]), Vec::<String>::new());
        assert_eq!(problems_of(&[("AWS_MAX_ATTEMPTS", ""), ("AWS_REGION", "us-east-1")]), Vec::<String>::new());
        assert_eq!(
            problems_of(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:4580"), ("AWS_RETRY_MODE", "Standard")]),
            Vec::<String>::new()
        );
    }
}
