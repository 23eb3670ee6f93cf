use super::*;
use tonic::Status;
use tonic_types::StatusExt;

const ID: &str = "2cf2a1a5-1a2b-4c3d-8e4f-0123456789ab";

fn context(time_left: Duration) -> Context<'static> {
    Context { session_id: ID, region: Some("eu-west-1"), time_left }
}

fn pushback(status: &Status) -> &str {
    let trailer = status.metadata().get("grpc-retry-pushback-ms");
    trailer.expect("a pushback").to_str().expect("ASCII")
}

/// The contract's table a second time, so that no row changes by mistake.
#[test]
fn every_reason_has_the_code_and_the_retry_of_the_contract() {
    use Code::*;
    let expected = [
        ("INVALID_REQUEST", InvalidArgument, false),
        ("UPSTREAM_INVALID_PARAMETER", InvalidArgument, false),
        ("SESSION_NOT_FOUND", NotFound, false),
        ("SESSION_GONE", NotFound, false),
        ("UPSTREAM_ACCESS_DENIED", PermissionDenied, false),
        ("CLIENT_NOT_ALLOWED", PermissionDenied, false),
        ("IMAGES_NOT_ALLOWED", PermissionDenied, false),
        ("UPSTREAM_THROTTLED", ResourceExhausted, true),
        ("QUOTA_EXHAUSTED", ResourceExhausted, true),
        ("OVERLOADED", ResourceExhausted, true),
        ("RESPONSE_NOT_READ", ResourceExhausted, false),
        ("UPSTREAM_UNAVAILABLE", Unavailable, true),
        ("UPSTREAM_TIMEOUT", Unavailable, true),
        ("UPSTREAM_CREDENTIALS", Unavailable, true),
        ("SHUTTING_DOWN", Unavailable, true),
        ("DEADLINE_EXCEEDED", DeadlineExceeded, false),
        ("UPSTREAM_MALFORMED", Internal, false),
        ("INTERNAL", Internal, false),
        ("UPSTREAM_UNKNOWN", Unknown, false),
    ];
    for (reason, (name, code, retry)) in Reason::ALL.into_iter().zip(expected) {
        let status = Error::new(reason).to_status(&context(Duration::from_secs(30)));
        let details = status.get_error_details();
        let info = details.error_info().expect("every error has an ErrorInfo");
        assert_eq!((info.reason.as_str(), status.code()), (name, code));
        assert_eq!(info.domain, DOMAIN);
        assert_eq!(info.metadata.get("region").map(String::as_str), Some("eu-west-1"));
        assert_eq!(details.retry_info().is_some(), retry, "{name}");
        assert_eq!(status.metadata().contains_key("grpc-retry-pushback-ms"), retry, "{name}");
        assert_eq!(details.resource_info().is_some(), code == NotFound, "{name}");
    }
}

#[test]
fn the_pushback_is_the_retry_delay_or_minus_one_after_the_deadline() {
    let error = Error::new(Reason::UpstreamThrottled);
    let status = error.to_status(&context(Duration::from_secs(30)));
    let delay = status.get_error_details().retry_info().and_then(|info| info.retry_delay).expect("a delay");
    assert!((1_000..=1_500).contains(&delay.as_millis()), "{delay:?}");
    assert_eq!(pushback(&status), delay.as_millis().to_string());

    let status = error.to_status(&context(Duration::from_millis(900)));
    assert_eq!(pushback(&status), "-1");
    assert!(status.get_error_details().retry_info().is_some());
}

#[test]
fn only_the_resource_info_of_not_found_contains_the_session_id() {
    for reason in Reason::ALL {
        let status = Error::new(reason).to_status(&context(Duration::from_secs(30)));
        assert!(!status.message().contains(ID));
        let resource = status.get_error_details().resource_info().map(|info| info.resource_name.clone());
        assert_eq!(resource.as_deref(), (status.code() == Code::NotFound).then_some(ID));
    }
}

#[test]
fn the_message_of_not_found_names_the_region() {
    let status = Error::new(Reason::SessionNotFound).to_status(&context(Duration::from_secs(30)));
    assert!(status.message().contains("region eu-west-1"), "{}", status.message());
}

#[test]
fn an_invalid_request_names_the_field_and_the_rule() {
    let error = Error::invalid("min_confidence", "is 0.9: the scale is above 1, up to 100");
    let status = error.to_status(&context(Duration::from_secs(30)));
    assert_eq!(status.message(), "min_confidence: is 0.9: the scale is above 1, up to 100");
    let violations = &status.get_error_details().bad_request().expect("a BadRequest").field_violations.clone();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].field, "min_confidence");
}

#[test]
fn the_metadata_has_the_code_and_request_id_of_aws() {
    let error = Error {
        aws_code: Some("ThrottlingException".into()),
        aws_request_id: Some("7f0a".into()),
        ..Error::new(Reason::UpstreamThrottled)
    };
    let status = error.to_status(&Context { region: None, ..context(Duration::from_secs(1)) });
    let details = status.get_error_details();
    let metadata = &details.error_info().expect("an ErrorInfo").metadata;
    assert_eq!(metadata.len(), 2);
    assert_eq!(metadata["awsErrorCode"], "ThrottlingException");
    assert_eq!(metadata["awsRequestId"], "7f0a");
}

#[test]
fn a_text_from_aws_is_sanitized_and_truncated() {
    assert_eq!(sanitized("com.aws#Odd Error\r\n\"}é"), "com.awsOddError");
    assert_eq!(sanitized(&"x".repeat(1000)).len(), 64);
    assert_eq!(sanitized_request_id("7f-0a\n\"{}é"), "7f-0a");
}

#[test]
fn code_names_are_those_of_grpc() {
    for (number, name) in super::code::NAMES.iter().enumerate() {
        // tonic spells them in camel case.
        let spelled = format!("{:?}", Code::from_i32(number as i32)).to_uppercase();
        assert_eq!(name.replace('_', ""), spelled);
    }
    assert_eq!(Error::new(Reason::SessionNotFound).code_name(), "NOT_FOUND");
}

#[test]
fn failures_of_aws_or_this_service_are_server_faults() {
    for reason in [
        Reason::UpstreamUnavailable,
        Reason::UpstreamMalformed,
        Reason::Internal,
        Reason::UpstreamUnknown,
        Reason::DeadlineExceeded,
    ] {
        assert!(Error::new(reason).is_server_fault(), "{reason}");
    }
    for reason in
        [Reason::InvalidRequest, Reason::SessionNotFound, Reason::UpstreamAccessDenied, Reason::QuotaExhausted]
    {
        assert!(!Error::new(reason).is_server_fault(), "{reason}");
    }
}

#[test]
fn a_request_that_is_too_large_is_overloaded_without_a_retry() {
    let status = Error::too_large("request", 4096).to_status(&context(Duration::MAX));
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "request: must not be larger than 4096 bytes");
    let details = status.get_error_details();
    assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("OVERLOADED"));
    assert!(details.retry_info().is_none() && status.metadata().get("grpc-retry-pushback-ms").is_none());
}

/// The rows of docs/service-level.md are `| reason | yes or no | … |`.
#[test]
fn the_service_level_page_and_the_recording_rule_agree_on_every_reason() {
    const PAGE: &str = include_str!("../../docs/service-level.md");
    const RULES: &str = include_str!("../../helm/face-liveness-facade/files/alerts.yaml");
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows: Vec<_> = rows.filter(|(reason, _)| Reason::ALL.iter().any(|known| known.name() == *reason)).collect();
    let listed: Vec<_> = rows.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(listed, Reason::ALL.map(Reason::name), "the table has every reason once");
    let failures: Vec<_> =
        rows.iter().filter(|(_, rest)| rest.starts_with("yes |")).map(|(reason, _)| *reason).collect();
    assert_eq!(rows.len(), failures.len() + rows.iter().filter(|(_, rest)| rest.starts_with("no |")).count());
    let rule = RULES.split("- record: face_liveness:failed_calls:rate5m\n").nth(1).expect("the recording rule");
    let recorded = rule.split("reason=~\"").nth(1).and_then(|rest| rest.split('"').next()).expect("its reasons");
    assert_eq!(recorded.split('|').collect::<Vec<_>>(), failures);
}
