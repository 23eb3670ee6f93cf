//! Settings in the AWS configuration files, which are known only after the SDK has loaded them.

use super::Folder;
use crate::{
    commands::run,
    program::{program, serve},
};

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")];

#[tokio::test]
async fn an_invalid_region_or_endpoint_in_a_profile_exits_64() {
    let folder = Folder::new("bad-profile");
    for (lines, words) in [
        ("region = US East", "the region of the AWS profile"),
        ("region = us-east-1\nendpoint_url =", "the endpoint_url of the AWS profile"),
        ("region = us-east-1\nendpoint_url = nonsense", "the endpoint_url of the AWS profile"),
        (
            "region = us-east-1\nservices = any\n[services any]\nrekognition =\n  endpoint_url = nonsense",
            "the endpoint_url of the AWS profile",
        ),
    ] {
        let config = folder.write("config", &format!("[default]\n{lines}\n"));
        let settings = [&KEYS[..], &[("AWS_CONFIG_FILE", config.as_str())]].concat();
        for command in [&["serve"][..], &["serve", "--validate"], &["check"]] {
            // The SDK itself also logs some of them.
            let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
            let listen = if command == ["serve"] { &listen[..] } else { &[] };
            let output = run(&[command, listen].concat(), &settings).await;
            let last = output.stderr_lines.last().expect("an error message");
            assert!(output.code == Some(64) && last.contains(words), "{lines}: {output:?}");
        }
    }
}

#[tokio::test]
async fn an_empty_region_in_a_profile_counts_as_no_region() {
    let folder = Folder::new("empty-region");
    let config = folder.write("config", "[default]\nregion =\n");
    let settings = [&KEYS[..], &[("AWS_CONFIG_FILE", config.as_str())]].concat();
    run(&["serve", "--validate"], &settings).await.assert_error(64, &["no AWS region", "set AWS_REGION"]);
    run(&["check"], &settings).await.assert_error(1, &["no AWS region"]);
    let running = serve(&[], &settings);
    let health = run(&["health", "--address", &running.admin_address], &[]).await;
    assert_eq!(health.code, Some(1), "it is not ready: {health:?}");
}

#[tokio::test]
async fn a_missing_profile_is_rejected_unless_the_environment_has_a_key() {
    let folder = Folder::new("no-profile");
    let other = folder.write("config", "[profile other]\naws_access_key_id = any\naws_secret_access_key = any\n");
    let settings = [("AWS_REGION", "us-east-1"), ("AWS_PROFILE", "nope")];
    for files in [&[][..], &[("AWS_CONFIG_FILE", other.as_str())]] {
        let settings = [&settings[..], files].concat();
        let words = ["AWS_PROFILE", "profile nope does not exist in", "unset AWS_PROFILE"];
        run(&["serve", "--validate"], &settings).await.assert_error(64, &words);
        run(&["check"], &settings).await.assert_error(1, &words);
        let running = serve(&[], &settings);
        assert!(
            running.warnings.iter().any(|line| words.iter().all(|word| line.contains(word))),
            "{:?}",
            running.warnings
        );
        let output = run(&["serve", "--validate"], &[&settings[..], &KEYS].concat()).await;
        assert_eq!((output.code, output.stderr_lines.len()), (Some(0), 1), "{output:?}");
        assert!(output.stderr_lines[0].contains("AWS_PROFILE"), "{output:?}");
    }
    let found = [("AWS_REGION", "us-east-1"), ("AWS_PROFILE", "other"), ("AWS_CONFIG_FILE", &other)];
    let output = run(&["serve", "--validate"], &found).await;
    assert_eq!((output.code, output.stderr_lines.len()), (Some(0), 0), "{output:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_parsed_is_rejected_with_its_line() {
    let folder = Folder::new("no-file");
    let config = folder.write("config", "[default]\nregion = us-east-1\n[other\n");
    let settings = [("AWS_REGION", "us-east-1"), ("AWS_CONFIG_FILE", config.as_str())];
    let output = run(&["serve", "--validate"], &settings).await;
    let last = output.stderr_lines.last().expect("an error message");
    assert!(output.code == Some(64) && last.contains(&config) && last.contains("line 3"), "{output:?}");
    assert_eq!(run(&["serve", "--validate"], &[&settings[..], &KEYS].concat()).await.code, Some(0), "the key is used");
}

#[test]
fn a_value_that_is_not_utf_8_exits_64() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let bytes = OsStr::from_bytes(b"us-east-1\xff");
    for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "FACE_LIVENESS_LISTEN", "FACE_LIVENESS_IMAGES"]
    {
        let mut command = program(&["serve", "--validate"]);
        let output = command.env("AWS_REGION", "us-east-1").env(name, bytes).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(64), "{name}: {output:?}");
    }
}
