use super::*;
use proptest::prelude::*;

#[allow(irrefutable_let_patterns, reason = "without the simulator there is no other command")]
fn serve(flags: &[&str]) -> Result<Serve, String> {
    let arguments = ["face-liveness-facade", "serve"].iter().chain(flags);
    let Command::Serve(serve) = Cli::try_parse_from(arguments).map_err(|error| error.to_string())?.command else {
        panic!("another command than serve");
    };
    Ok(serve)
}

#[test]
fn the_defaults_are_those_of_the_readme() {
    let Serve { listen, service, drain_timeout, log } = serve(&[]).expect("valid without a flag");
    assert_eq!(listen.to_string(), "[::]:50051");
    assert_eq!(drain_timeout, Duration::from_secs(20));
    assert_eq!((log.log_format, log.log_level), (None, telemetry::Level::Info));
    assert_eq!(service.result_ttl, Duration::from_secs(3600));
    assert_eq!(service.result_cache_entries, 100_000);
    assert_eq!(service.image_ttl, Duration::from_secs(300));
    assert_eq!(service.image_cache_size, ByteSize::mib(256));
    assert_eq!(service.images, Images::Full);
    assert_eq!(service.not_found_ttl, Duration::from_secs(2));
    assert_eq!(service.pending_ttl, Duration::from_millis(500));
    assert_eq!((service.quota_tps, service.quota_replicas), (QuotaTps::Auto, 1));
    assert!(service.capture);
    assert_eq!(service.max_wait, Duration::from_secs(50));
    assert_eq!(service.min_confidence, None);
    assert_eq!(service.upstream_timeout, Duration::from_secs(5));
    assert!(service.reflection);
    assert_eq!(service.access_log, service::AccessLog::Images);
}

#[test]
fn each_flag_has_the_variable_of_its_name() {
    use clap::CommandFactory;
    let command = Cli::command();
    let serve = command.find_subcommand("serve").expect("a command of that name");
    for argument in serve.get_arguments().filter(|argument| argument.get_id() != "help") {
        let flag = argument.get_long().expect("every argument is a flag");
        let variable = format!("FACE_LIVENESS_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(variable.as_str()));
    }
}

#[test]
fn a_bad_value_is_refused_with_its_flag() {
    for (flag, value) in [
        ("--listen", "50051"),
        ("--result-ttl", "1"),
        ("--image-cache-size", "lots"),
        ("--images", "some"),
        ("--result-ttl", "2years"),
        ("--pending-ttl", "1ms"),
        ("--quota-tps", "1e-21"),
        ("--quota-tps", "-1"),
        ("--quota-tps", "some"),
        ("--quota-replicas", "0"),
        ("--min-confidence", "0.9"),
        ("--min-confidence", "0"),
        ("--min-confidence", "101"),
        ("--min-confidence", "NaN"),
        ("--upstream-timeout", "0s"),
        ("--reflection", "maybe"),
    ] {
        let error = serve(&[flag, value]).expect_err("a bad value");
        assert!(error.contains(flag) && error.contains(value), "{error}");
    }
}

#[test]
fn the_limiter_has_its_replicas_share_of_the_quota() {
    let rate = |flags| serve(flags).expect("valid flags").service.results(25.0).rate;
    assert_eq!(rate(&[]), Some(25.0));
    assert_eq!(rate(&["--quota-replicas", "5"]), Some(5.0));
    assert_eq!(rate(&["--quota-tps", "100", "--quota-replicas", "2"]), Some(50.0));
    assert_eq!(rate(&["--quota-tps", "0"]), None);
}

proptest! {
    #[test]
    fn a_threshold_flag_is_on_the_scale_or_refused(threshold: f32) {
        let parsed = min_confidence(&threshold.to_string());
        prop_assert_eq!(parsed.is_ok(), threshold > 1.0 && threshold <= 100.0);
    }
}
