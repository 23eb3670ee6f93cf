//! The variables of others that decide whether this program works: AWS's and OpenTelemetry's.
//!
//! The AWS SDK ignores some bad values with a line in the log, so that reads go where nobody meant
//! them to, and panics on others.

use crate::rekognition::{flaw_of_credential, is_region, is_url, shown};
use std::collections::BTreeMap;
use tonic::codegen::http::Uri;

/// The environment, by name.
pub type Variables = BTreeMap<String, String>;

/// What is wrong with them, in a sentence each. No sentence holds a secret.
pub fn problems(variables: &Variables) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, value) in variables {
        if is_never_blank(name) && value.trim().is_empty() {
            problems.push(format!("{name} is set and has no value: give it one, or unset it"));
        } else if CREDENTIALS.contains(&name.as_str()) && !value.trim().is_empty() {
            problems.extend(flaw_of_credential(value).map(|flaw| format!("{name} contains {flaw}: set it without")));
        }
    }
    for (names, is_good, rule) in RULES {
        for (name, value) in variables.iter().filter(|(name, _)| names.iter().any(|pattern| matches(pattern, name))) {
            // The SDKs take another empty value for none.
            let is_reported = is_never_blank(name) && value.trim().is_empty();
            if !value.is_empty() && !is_reported && !is_good(value) {
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

/// Decides whether a variable has this name, or begins as a pattern that ends with `*`.
fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

const ENDPOINTS: &[&str] = &["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_REKOGNITION"];

/// The AWS SDK takes an empty value of these for a value: it hides the variable, file or provider
/// that is next in the chain, and an empty endpoint makes the SDK panic.
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

/// Credentials of the environment, with the older name that the SDK also reads. It takes a blank
/// one for none.
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
    // It becomes a part of a header.
    (&["AWS_EXECUTION_ENV"], |value| !value.contains(char::is_control), "must be text on one line"),
    // The SDK connects without a proxy when it cannot parse its URL.
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

    fn told(variables: &[(&str, &str)]) -> Vec<String> {
        problems(&variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn each_bad_variable_is_told_with_its_value() {
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
            let problems = told(&[(name, value)]);
            assert!(matches!(&problems[..], [one] if one.contains(name) && one.contains(value)), "{problems:?}");
        }
    }

    #[test]
    fn a_variable_that_the_sdk_does_not_take_for_unset_must_not_be_blank() {
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
                assert_eq!(told(&[(name, value)]), [sentence]);
            }
        }
    }

    #[test]
    fn a_credential_that_no_header_can_hold_is_rejected_without_its_value() {
        for name in CREDENTIALS {
            for (value, flaw) in [
                ("hunter2\n", "a line break"),
                ("hunter2\r", "a line break"),
                (" hunter2", "white space"),
                ("hun\tter2", "white space"),
                ("hunter2\0", "a control character"),
                ("hunter\u{fffd}2", "a character that is not ASCII"),
            ] {
                assert_eq!(told(&[(name, value)]), [format!("{name} contains {flaw}: set it without")]);
            }
        }
        assert_eq!(told(&[("AWS_SESSION_TOKEN", ""), ("AWS_ACCESS_KEY_ID", "AKIA/+=")]), Vec::<String>::new());
    }

    #[test]
    fn a_url_that_holds_a_password_is_not_shown() {
        for (name, value) in [
            ("HTTPS_PROXY", "http://user:hunter2@proxy:3128\n"),
            ("AWS_ENDPOINT_URL", "http://user:hunter2@endpoint:99999"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "user:hunter2@collector"),
        ] {
            let problems = told(&[(name, value)]);
            assert!(matches!(&problems[..], [one] if one.contains(name) && !one.contains("hunter")), "{problems:?}");
        }
    }

    #[test]
    fn a_proxy_is_a_url_with_or_without_a_scheme() {
        for value in ["", "proxy:3128", "http://user:password@proxy:3128", "socks5h://proxy"] {
            assert_eq!(told(&[("https_proxy", value)]), Vec::<String>::new());
        }
    }

    #[test]
    fn a_line_break_in_a_header_is_told() {
        assert_eq!(told(&[("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE\n")]).len(), 1);
    }

    #[test]
    fn a_variant_of_the_endpoint_and_a_named_one_exclude_each_other() {
        assert_eq!(told(&[("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_ENDPOINT_URL", "http://here")]).len(), 1);
        assert_eq!(told(&[("AWS_USE_DUALSTACK_ENDPOINT", "true"), ("AWS_ENDPOINT_URL", "http://here")]).len(), 1);
    }

    #[test]
    fn what_is_good_empty_or_absent_is_not_told() {
        assert_eq!(told(&[]), Vec::<String>::new());
        assert_eq!(told(&[("AWS_MAX_ATTEMPTS", ""), ("AWS_REGION", "us-east-1")]), Vec::<String>::new());
        assert_eq!(
            told(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:4580"), ("AWS_RETRY_MODE", "Standard")]),
            Vec::<String>::new()
        );
    }
}
