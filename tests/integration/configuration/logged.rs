//! The log line with the effective configuration.

use super::Folder;
use crate::program::{aws, closed_port, serve, simulator};
use serde_json::Value;

#[tokio::test]
async fn the_effective_configuration_is_logged_at_start_without_secrets() {
    let (_simulator, endpoint) = simulator().await;
    let folder = Folder::new("logged");
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let (key_file, password_file) = (folder.write("cache.key", key), folder.write("password", "of-the-file"));
    let cache = closed_port();
    let url = format!("redis://of-the-url:in-the-url@{cache}/3");
    let flags = ["--result-ttl", "30m", "--shared-cache-key-file", &key_file];
    let variables = [
        ("FACE_LIVENESS_QUOTA_TPS", "7"),
        ("FACE_LIVENESS_RESULT_TTL", "10m"),
        ("FACE_LIVENESS_SHARED_CACHE_URL", &url),
        ("FACE_LIVENESS_SHARED_CACHE_USERNAME", "of-the-variable"),
        ("FACE_LIVENESS_SHARED_CACHE_PASSWORD_FILE", &password_file),
    ];
    let running = serve(&flags, &[&aws(&endpoint)[..], &variables].concat());
    running.send_sigterm();
    let (_, log) = running.into_output();
    let log = String::from_utf8(log).expect("the log is text");

    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<_> = lines.filter(|line| line["message"] == "configuration").collect();
    assert_eq!(lines.len(), 1, "{log}");
    let options = |field: &str| -> Vec<String> {
        lines[0][field].as_str().expect("options").split(' ').map(str::to_owned).collect()
    };
    let (set, defaults) = (options("set"), options("defaults"));
    for expected in [
        "--result-ttl=30m",
        "--quota-tps=7",
        "--shared-cache-url=(secret)",
        "--shared-cache-username=(secret)",
        &format!("--shared-cache-password-file={password_file}"),
    ] {
        assert!(set.iter().any(|option| option == expected), "{expected}: {log}");
    }
    for expected in ["--image-ttl=5m", "--capture=true", "--max-connections=2000", "--access-log=images"] {
        assert!(defaults.iter().any(|option| option == expected), "{expected}: {log}");
    }
    assert_eq!(lines[0]["shared_cache_address"], cache.as_str());
    for secret in ["of-the-url", "in-the-url", "of-the-variable", "of-the-file", key] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}
