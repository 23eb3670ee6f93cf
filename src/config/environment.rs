//! The variables of others that decide whether this program works: AWS's and OpenTelemetry's.
//!
//! The AWS SDK ignores some bad values with a line in the log, so that reads go where nobody meant them to, and panics on others.

use std::collections::BTreeMap;
use tonic::codegen::http::Uri;

/// The environment, by name.
pub type Variables = BTreeMap<String, String>;

/// What is wrong with them, in a sentence each. An empty one counts as none, as the SDKs have it.
pub fn problems(variables: &Variables) -> Vec<String> {
    let set = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let mut problems = Vec::new();
    for (names, is_good, rule) in RULES {
        for name in *names {
            if let Some(value) = set(name).filter(|value| !is_good(value)) {
                problems.push(format!("{name} {rule}, and is {value:?}"));
            }
        }
    }
    let fips = set("AWS_USE_FIPS_ENDPOINT").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    for endpoint in ENDPOINTS.iter().filter(|name| fips && set(name).is_some()) {
        problems.push(format!("AWS_USE_FIPS_ENDPOINT cannot be true while {endpoint} names another endpoint"));
    }
    problems
}

const ENDPOINTS: &[&str] = &["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_REKOGNITION"];

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
    (ENDPOINTS, is_url, "must be a URL such as https://rekognition.us-east-1.amazonaws.com"),
    (
        &["AWS_REGION", "AWS_DEFAULT_REGION"],
        |value| value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
        "must be a region such as us-east-1",
    ),
    (
        &["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_EC2_METADATA_DISABLED"],
        |value| ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word)),
        "must be true or false",
    ),
    (
        &["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"],
        is_url,
        "must be a URL such as http://collector:4317",
    ),
];

fn is_url(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
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
            ("AWS_REGION", "US East"),
            ("AWS_USE_FIPS_ENDPOINT", "yes"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ] {
            let problems = told(&[(name, value)]);
            assert!(matches!(&problems[..], [one] if one.contains(name) && one.contains(value)), "{problems:?}");
        }
    }

    #[test]
    fn a_fips_endpoint_and_a_named_one_exclude_each_other() {
        assert_eq!(told(&[("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_ENDPOINT_URL", "http://here")]).len(), 1);
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
