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

/// The table as the contract has it, written a second time: whoever changes a row must mean it.
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
fn the_pushback_is_the_retry_delay_when_it_fits_the_deadline_and_minus_one_when_not() {
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
fn the_session_id_is_told_in_the_resource_info_of_not_found_and_nowhere_else() {
    for reason in Reason::ALL {
        let status = Error::new(reason).to_status(&context(Duration::from_secs(30)));
        assert!(!status.message().contains(ID));
        let resource = status.get_error_details().resource_info().map(|info| info.resource_name.clone());
        assert_eq!(resource.as_deref(), (status.code() == Code::NotFound).then_some(ID));
    }
}

#[test]
fn not_found_names_the_region_because_a_wrong_one_looks_the_same() {
    let status = Error::new(Reason::SessionNotFound).to_status(&context(Duration::from_secs(30)));
    assert!(status.message().contains("region eu-west-1"), "{}", status.message());
}

#[test]
fn an_invalid_request_names_the_field_and_what_is_wrong_with_it() {
    let error = Error::invalid("min_confidence", "is 0.9: the scale is above 1, up to 100");
    let status = error.to_status(&context(Duration::from_secs(30)));
    assert_eq!(status.message(), "min_confidence: is 0.9: the scale is above 1, up to 100");
    let violations = &status.get_error_details().bad_request().expect("a BadRequest").field_violations.clone();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].field, "min_confidence");
}

#[test]
fn what_is_known_of_aws_is_in_the_metadata() {
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
fn a_text_from_outside_is_cleaned_and_cut() {
    assert_eq!(cleaned("com.aws#Odd Error\r\n\"}é"), "com.awsOddError");
    assert_eq!(cleaned(&"x".repeat(1000)).len(), 64);
    assert_eq!(cleaned_request_id("7f-0a\n\"{}é"), "7f-0a");
}

#[test]
fn telemetry_names_a_code_as_grpc_does() {
    for (number, name) in super::code::NAMES.iter().enumerate() {
        // tonic spells them in camel case.
        let spelled = format!("{:?}", Code::from_i32(number as i32)).to_uppercase();
        assert_eq!(name.replace('_', ""), spelled);
    }
    assert_eq!(Error::new(Reason::SessionNotFound).code_name(), "NOT_FOUND");
}

#[test]
fn a_trouble_of_aws_or_of_this_service_is_a_servers_fault_and_a_callers_is_not() {
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
fn what_is_too_large_is_overload_that_no_retry_mends() {
    let status = Error::too_large("request", 4096).to_status(&context(Duration::MAX));
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "request: must not be larger than 4096 bytes");
    let details = status.get_error_details();
    assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("OVERLOADED"));
    assert!(details.retry_info().is_none() && status.metadata().get("grpc-retry-pushback-ms").is_none());
}
