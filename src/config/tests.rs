use super::{value::min_confidence, *};
use bytesize::ByteSize;
use clap::Parser;
use proptest::prelude::*;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

#[allow(irrefutable_let_patterns, reason = "without the simulator there is no other command")]
fn serve(flags: &[&str]) -> Result<Serve, String> {
    let arguments = ["face-liveness-facade", "serve"].iter().chain(flags);
    let Command::Serve(serve) = Cli::try_parse_from(arguments).map_err(|error| error.to_string())?.command else {
        panic!("another command than serve");
    };
    Ok(serve)
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let Serve { listen, admin_listen, server, log, validate, .. } = serve(&[]).expect("valid without a flag");
    assert_eq!((listen.to_string().as_str(), admin_listen.to_string().as_str()), ("[::]:50051", "[::]:9090"));
    assert!(!validate);
    let Server { service, tls, access, session_ref_key_file, max_requests, max_connections, .. } = &server;
    assert!(tls.files().is_none() && tls.tls_client_ca.is_none() && session_ref_key_file.is_none());
    assert!(access.allowed_clients.is_empty() && access.image_clients.is_empty());
    assert_eq!(access.client_identity, ClientIdentity::Tls);
    assert_eq!((*max_requests, *max_connections), (20_000, 2_000));
    assert_eq!(server.max_connection_age, Duration::from_secs(300));
    assert_eq!(server.drain_delay, Duration::from_secs(5));
    assert_eq!(server.drain_timeout, Duration::from_secs(20));
    assert_eq!((log.log_format, log.log_level), (None, LevelFilter::INFO));
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
    assert_eq!(service.access_log, AccessLog::Images);
}

#[test]
fn the_default_service_of_health_is_that_of_the_contract() {
    let health = Cli::try_parse_from(["face-liveness-facade", "health"]).expect("valid without a flag").command;
    assert!(matches!(health, Command::Health(health) if health.service == crate::proto::GET_LIVENESS_RESULT.service));
}

#[test]
fn each_flag_has_the_variable_of_its_name() {
    use clap::CommandFactory;
    let command = Cli::command();
    let serve = command.find_subcommand("serve").expect("a command of that name");
    for argument in serve.get_arguments().filter(|argument| !["help", "validate"].contains(&argument.get_id().as_str()))
    {
        let flag = argument.get_long().expect("every argument is a flag");
        let variable = format!("FACE_LIVENESS_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(variable.as_str()));
    }
}

#[test]
fn an_invalid_value_is_rejected_with_its_flag() {
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
        let error = serve(&[flag, value]).expect_err("an invalid value");
        assert!(error.contains(flag) && error.contains(value), "{error}");
    }
}

/// Returns each option of this kind with its command, as `(command, flag)`.
fn options_of(kind: &str) -> Vec<(String, String)> {
    use clap::CommandFactory;
    let command = Cli::command();
    let options = command.get_subcommands().flat_map(|command| {
        let arguments =
            command.get_arguments().filter(|argument| argument.get_value_names().is_some_and(|names| names == [kind]));
        arguments.map(|argument| (command.get_name().to_owned(), format!("--{}", argument.get_long().expect("a flag"))))
    });
    options.collect()
}

fn error_of(command: &str, flag: &str, value: &str) -> Option<String> {
    let parsed = Cli::try_parse_from(["face-liveness-facade", command, &format!("{flag}={value}")]);
    parsed.err().map(|error| error.to_string())
}

#[test]
fn every_duration_needs_units_that_are_not_ambiguous() {
    let options = options_of("DURATION");
    assert!(options.len() > 20 && options.contains(&("serve".to_owned(), "--result-ttl".to_owned())), "{options:?}");
    for (command, flag) in options {
        for value in [
            "1", "00", "3600", "1M", "5M", "1H", "5S", "10Min", "5min", "1month", "1y", "2years", "1w", "1 h 30",
            "1h30", "1 30s", "1e3s", ".5.s", "-1s", "+1s", " 5s", "5s\n", "5\ts", "500us", "5µs", "1ns", "٣s", "s",
            "h1", "ms", "soon",
        ] {
            let error =
                error_of(&command, &flag, value).unwrap_or_else(|| panic!("{command} {flag} {value:?} is accepted"));
            assert!(error.contains("one of the units ms, s, m (minutes), h or d, such as"), "{error}");
        }
        for value in ["500ms", "5s", "10m", "1h", "1.5h", "2.0s", "365d", "1h30m", "1h 30m 5s 10ms", "90s "] {
            assert_eq!(error_of(&command, &flag, value), None, "{command} {flag} {value}");
        }
        for value in ["366d", "8761h", "99999999999999999999s", "18446744073709551615d"] {
            let error = error_of(&command, &flag, value).expect("more than a year");
            assert!(error.contains("must be at most a year, 365d"), "{error}");
        }
    }
    for flag in ["--result-ttl", "--max-connection-age", "--drain-delay"] {
        assert_eq!(error_of("serve", flag, "0"), None, "{flag}");
    }
}

#[test]
fn every_size_needs_a_unit_that_is_not_ambiguous() {
    let options = options_of("SIZE");
    assert!(options.contains(&("serve".to_owned(), "--image-cache-size".to_owned())), "{options:?}");
    for (command, flag) in options {
        for value in [
            "256", "00", "1m", "1M", "256k", "256K", "1G", "1g", "256 mb", "256Mb", "256mib", "256MIB", "256MIb",
            "256KB", "1e9", "1e3MiB", "256  MiB", "256\tMiB", " 256MiB", "256MiB ", "-1MiB", "1,5GiB", "1.2.3MiB",
            "٣MiB", "infGiB", "MiB", "1TiB", "lots",
        ] {
            let error =
                error_of(&command, &flag, value).unwrap_or_else(|| panic!("{command} {flag} {value:?} is accepted"));
            assert!(error.contains("one of the units KiB, MiB, GiB, kB, MB, GB or B, such as 256MiB"), "{error}");
        }
        for value in ["0", "512B", "1kB", "300MB", "1GB", "64KiB", "256MiB", "256Mi", "1.5GiB", "256 MiB"] {
            assert_eq!(error_of(&command, &flag, value), None, "{command} {flag} {value}");
        }
    }
}

#[test]
fn the_quota_is_per_account_and_replicas_share_it() {
    let quota = |flags| {
        let settings = serve(flags).expect("valid flags").server.service.results(25.0);
        (settings.rate, settings.replicas)
    };
    assert_eq!(quota(&[]), (Some(25.0), 1));
    assert_eq!(quota(&["--quota-replicas", "5"]), (Some(25.0), 5));
    assert_eq!(quota(&["--quota-tps", "100", "--quota-replicas", "2"]), (Some(100.0), 2));
    assert_eq!(quota(&["--quota-tps", "0"]), (None, 1));
}

proptest! {
    #[test]
    fn a_threshold_outside_the_scale_is_rejected(threshold: f32) {
        let parsed = min_confidence(&threshold.to_string());
        prop_assert_eq!(parsed.is_ok(), threshold > 1.0 && threshold <= 100.0);
    }
}

fn problems_of(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let arguments = ["face-liveness-facade", "serve"].iter().chain(arguments).map(Into::into);
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    read(arguments, variables).expect("a command line").problems
}

#[test]
fn all_problems_are_reported_at_once_with_flag_and_variable() {
    let arguments = [
        "--image-ttl",
        "soon",
        "--images=some",
        "--quota-replicas",
        "0",
        "--tls-cert",
        "cert.pem",
        "--capture",
        "perhaps",
    ];
    assert_eq!(
        problems_of(&arguments, &[("FACE_LIVENESS_TLS_CRET", "cert.pem")]),
        [
            r#"--image-ttl (FACE_LIVENESS_IMAGE_TTL) cannot be "soon": it must be 0 or numbers, each with one of the units ms, s, m (minutes), h or d, such as 500ms, 5s or 1h30m"#,
            r#"--images (FACE_LIVENESS_IMAGES) cannot be "some": it must be one of full, reference, none"#,
            r#"--quota-replicas (FACE_LIVENESS_QUOTA_REPLICAS) cannot be "0": it must be a whole number from 1 to 1000000"#,
            r#"--capture (FACE_LIVENESS_CAPTURE) cannot be "perhaps": it must be one of true, false"#,
            "--tls-cert (FACE_LIVENESS_TLS_CERT) and --tls-key (FACE_LIVENESS_TLS_KEY) go together: give both or neither",
            r#""FACE_LIVENESS_TLS_CRET" is not a variable of this program: do you mean FACE_LIVENESS_TLS_CERT?"#,
        ]
    );
    assert_eq!(problems_of(&[], &[]), Vec::<String>::new());
}

#[test]
fn a_list_of_clients_needs_client_names() {
    let lists = ["--allowed-clients", "spiffe://example.org/*,web.example.org"];
    assert_eq!(problems_of(&lists, &[]).len(), 1);
    assert_eq!(problems_of(&[&lists[..], &["--client-identity", "xfcc"]].concat(), &[]), Vec::<String>::new());
    let tls = ["--tls-cert", "a", "--tls-key", "b", "--tls-client-ca", "c"];
    assert_eq!(problems_of(&[&lists[..], &tls].concat(), &[]), Vec::<String>::new());
    assert_eq!(problems_of(&["--allowed-clients", ""], &[]).len(), 1, "an empty list is invalid");
    assert_eq!(problems_of(&["--listen", "[::]:9090"], &[]).len(), 1, "both ports have the same number");
}

#[test]
fn by_default_nothing_is_shared() {
    let shared = serve(&[]).expect("valid without a flag").server.shared_cache;
    assert!(shared.shared_cache_url.is_none() && shared.settings().expect("valid").is_none());
    assert_eq!((shared.shared_cache_timeout, shared.shared_cache_images), (Duration::from_millis(50), false));
}

#[test]
fn each_invalid_combination_of_the_shared_cache_is_one_problem() {
    let url = ["--shared-cache-url", "redis://127.0.0.1:1", "--shared-cache-key-file", "key"];
    let user = ["--shared-cache-username", "a", "--shared-cache-username-file", "b"];
    let password = ["--shared-cache-password", "a", "--shared-cache-password-file", "b"];
    for (flags, sentence) in [
        (&url[..2], "values are always encrypted"),
        (&url[2..], "need --shared-cache-url"),
        (&["--shared-cache-images", "true"][..], "need --shared-cache-url"),
        (&[&url[..], &user].concat(), "--shared-cache-username and --shared-cache-username-file"),
        (&[&url[..], &password].concat(), "--shared-cache-password and --shared-cache-password-file"),
    ] {
        let problems = problems_of(flags, &[]);
        assert!(problems.len() == 1 && problems[0].contains(sentence), "{problems:?}");
    }
}

#[test]
fn an_invalid_url_of_the_shared_cache_is_rejected_and_not_shown() {
    for url in
        ["http://user:hunter2@cache:6379", "redis://user:hunter2@cache:port", "rediss://cache/#hunter2", "hunter2"]
    {
        let flags = ["--shared-cache-url", url, "--shared-cache-key-file", "/nowhere/hunter"];
        let shared = serve(&flags).expect("valid flags").server.shared_cache;
        let sentence = shared.settings().err().expect("an invalid URL");
        assert!(
            sentence.contains("--shared-cache-url") && sentence.contains("rediss://cache.example.org"),
            "{sentence}"
        );
        assert!(!sentence.contains("hunter2") && !sentence.contains(url), "{sentence}");
    }
}

#[test]
fn an_empty_secret_of_the_shared_cache_is_rejected() {
    for name in ["url", "username", "password"] {
        let problems = problems_of(
            &["--shared-cache-url=redis://cache", "--shared-cache-key-file=key", &format!("--shared-cache-{name}=")],
            &[],
        );
        let sentence = "has no value: it must have one; unset it to use none";
        assert!(
            problems
                .iter()
                .any(|problem| problem.starts_with(&format!("--shared-cache-{name} (")) && problem.ends_with(sentence)),
            "{problems:?}"
        );
    }
}

#[test]
fn a_ca_of_the_shared_cache_requires_tls() {
    let flags = ["--shared-cache-url", "redis://cache", "--shared-cache-key-file", "key", "--shared-cache-ca", "ca"];
    let shared = serve(&flags).expect("valid flags").server.shared_cache;
    assert!(shared.settings().err().expect("no TLS").contains("must be rediss://"));
}

#[test]
fn secrets_of_the_shared_cache_are_neither_in_debug_output_nor_in_help() {
    use clap::CommandFactory;
    let url = "redis://user:hunter2@127.0.0.1:1";
    let serve = serve(&["--shared-cache-url", url, "--shared-cache-password", "hunter3"]).expect("valid flags");
    let debug = format!("{serve:?}");
    assert!(!debug.contains("hunter"), "{debug}");
    // The help shows the values of the other variables.
    let command = Cli::command();
    let serve = command.find_subcommand("serve").expect("a command of that name");
    for name in ["shared_cache_url", "shared_cache_username", "shared_cache_password"] {
        let flag = serve.get_arguments().find(|flag| flag.get_id() == name).expect("a flag of that name");
        assert!(flag.is_hide_env_values_set(), "{name}");
    }
}
