//! Sizes and durations: rejected without a unit, or with one that has two meanings.

use crate::{commands::run, program::aws};

const DURATION: &str = "one of the units ms, s, m (minutes), h or d, such as 500ms, 5s or 1h30m";
const SIZE: &str = "one of the units KiB, MiB, GiB, kB, MB, GB or B, such as 256MiB";

#[tokio::test]
async fn a_flag_or_a_variable_with_an_ambiguous_unit_exits_64() {
    let settings = aws("http://127.0.0.1:1");
    for (flag, value, rule) in [
        ("--image-cache-size", "256", SIZE),
        ("--image-cache-size", "1m", SIZE),
        ("--image-cache-size", "256 mb", SIZE),
        ("--result-ttl", "3600", DURATION),
        ("--result-ttl", "1M", DURATION),
        ("--max-wait", "5M", DURATION),
        ("--image-ttl", "1 h 30", DURATION),
        ("--drain-delay", "1e3s", DURATION),
        ("--shared-cache-timeout", "50", DURATION),
    ] {
        let variable = format!("FACE_LIVENESS_{}", flag[2..].replace('-', "_").to_uppercase());
        let output = run(&["serve", "--validate", flag, value], &settings).await;
        output.assert_error(64, &[flag, &format!("cannot be {value:?}"), rule]);
        let settings = [&settings[..], &[(&variable, value)]].concat();
        run(&["serve", "--validate"], &settings).await.assert_error(64, &[flag, &variable, rule]);
    }
}

#[tokio::test]
async fn zero_needs_no_unit() {
    let flags = [
        "serve",
        "--validate",
        "--log-format",
        "text",
        "--image-cache-size",
        "0",
        "--result-ttl",
        "0",
        "--drain-delay",
        "0",
    ];
    let output = run(&flags, &aws("http://127.0.0.1:1")).await;
    assert_eq!((output.code, output.stderr_lines), (Some(0), vec![]));
}
