//! Settings of AWS's own files, which are known only once the SDK has loaded them.

use super::Folder;
use crate::{
    commands::run,
    program::{program, serve},
};

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")];

#[tokio::test]
async fn a_bad_region_or_endpoint_of_a_profile_exits_64() {
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
            // The SDK itself logs some of them, too.
            let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
            let listen = if command == ["serve"] { &listen[..] } else { &[] };
            let outcome = run(&[command, listen].concat(), &settings).await;
            let last = outcome.complaints.last().expect("a sentence");
            assert!(outcome.code == Some(64) && last.contains(words), "{lines}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn an_empty_region_of_a_profile_is_none() {
    let folder = Folder::new("empty-region");
    let config = folder.write("config", "[default]\nregion =\n");
    let settings = [&KEYS[..], &[("AWS_CONFIG_FILE", config.as_str())]].concat();
    run(&["serve", "--validate"], &settings).await.complains(64, &["no AWS region", "set AWS_REGION"]);
    run(&["check"], &settings).await.complains(1, &["no AWS region"]);
    let running = serve(&[], &settings);
    let health = run(&["health", "--address", &running.admin_address], &[]).await;
    assert_eq!(health.code, Some(1), "it is not ready: {health:?}");
}

#[tokio::test]
async fn a_profile_that_no_file_has_is_rejected_unless_the_environment_has_a_key() {
    let folder = Folder::new("no-profile");
    let other = folder.write("config", "[profile other]\naws_access_key_id = any\naws_secret_access_key = any\n");
    let settings = [("AWS_REGION", "us-east-1"), ("AWS_PROFILE", "nope")];
    for files in [&[][..], &[("AWS_CONFIG_FILE", other.as_str())]] {
        let settings = [&settings[..], files].concat();
        let words = ["AWS_PROFILE", "\"nope\"", "unset AWS_PROFILE"];
        run(&["serve", "--validate"], &settings).await.complains(64, &words);
        run(&["check"], &settings).await.complains(1, &words);
        let running = serve(&[], &settings);
        assert!(
            running.warnings.iter().any(|line| words.iter().all(|word| line.contains(word))),
            "{:?}",
            running.warnings
        );
        let outcome = run(&["serve", "--validate"], &[&settings[..], &KEYS].concat()).await;
        assert_eq!((outcome.code, outcome.complaints.len()), (Some(0), 1), "{outcome:?}");
        assert!(outcome.complaints[0].contains("AWS_PROFILE"), "{outcome:?}");
    }
    let found = [("AWS_REGION", "us-east-1"), ("AWS_PROFILE", "other"), ("AWS_CONFIG_FILE", &other)];
    let outcome = run(&["serve", "--validate"], &found).await;
    assert_eq!((outcome.code, outcome.complaints.len()), (Some(0), 0), "{outcome:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_parsed_is_rejected_with_its_line() {
    let folder = Folder::new("no-file");
    let config = folder.write("config", "[default]\nregion = us-east-1\n[other\n");
    let settings = [("AWS_REGION", "us-east-1"), ("AWS_CONFIG_FILE", config.as_str())];
    let outcome = run(&["serve", "--validate"], &settings).await;
    let last = outcome.complaints.last().expect("a sentence");
    assert!(outcome.code == Some(64) && last.contains(&config) && last.contains("line 3"), "{outcome:?}");
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
