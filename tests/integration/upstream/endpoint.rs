//! The endpoint: what `check` says about it, and settings that exclude each other.

use crate::{
    certificates::{Authority, Secret},
    commands::run,
    program::{aws, simulator},
    redis::Redis,
};
use std::fs;

/// A folder for files. It is removed when this is dropped.
struct Files(Secret);

impl Files {
    fn new() -> Self {
        Self(Secret::new(&Authority::new().server(), ""))
    }

    /// Writes a file, and returns its path.
    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.files().cert.with_file_name(name);
        fs::write(&path, content).expect("the folder is writable");
        path.to_str().expect("the path is text").to_owned()
    }
}

#[tokio::test]
async fn an_endpoint_excludes_its_variants_wherever_they_are_set() {
    let files = Files::new();
    let endpoint = "endpoint_url = http://127.0.0.1:1";
    for (variant, name) in
        [("use_dualstack_endpoint", "AWS_USE_DUALSTACK_ENDPOINT"), ("use_fips_endpoint", "AWS_USE_FIPS_ENDPOINT")]
    {
        let in_profile = files.write("config-1", &format!("[default]\nregion = us-east-1\n{endpoint}\n"));
        let both_in_profile =
            files.write("config-2", &format!("[default]\nregion = us-east-1\n{endpoint}\n{variant} = true\n"));
        let variant_in_profile = files.write("config-3", &format!("[default]\n{variant} = true\n"));
        let key = &aws("http://127.0.0.1:1")[1..];
        for settings in [
            [&aws("http://127.0.0.1:1")[..], &[(name, "true")]].concat(),
            [key, &[(name, "true"), ("AWS_CONFIG_FILE", &in_profile)]].concat(),
            [key, &[("AWS_CONFIG_FILE", &both_in_profile)]].concat(),
            [&aws("http://127.0.0.1:1")[..], &[("AWS_CONFIG_FILE", &variant_in_profile)]].concat(),
            [key, &[(name, "true"), ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")]].concat(),
        ] {
            for command in [&["check"][..], &["serve", "--validate"]] {
                run(command, &settings).await.assert_error(64, &[name, "cannot be true"]);
            }
        }
    }
}

#[tokio::test]
async fn check_names_the_endpoint_that_it_used() {
    let (_simulator, endpoint) = simulator().await;
    let output = run(&["check"], &aws(&endpoint)).await;
    assert!(output.code == Some(0) && output.stdout.contains(&format!("endpoint     {endpoint}")), "{output:?}");
    let closed_port = run(&["check"], &aws("http://127.0.0.1:1")).await;
    closed_port.assert_error(1, &["http://127.0.0.1:1 cannot be reached", "AWS_ENDPOINT_URL_REKOGNITION"]);
    // A region that does not exist. The proxy keeps the name from a name server.
    let settings = [&aws("")[1..], &[("AWS_REGION", "us-east-9"), ("HTTPS_PROXY", "http://127.0.0.1:1")]].concat();
    let output = run(&["check"], &settings).await;
    output
        .assert_error(1, &["https://rekognition.us-east-9.amazonaws.com cannot be reached", "AWS_REGION is us-east-9"]);
    assert!(output.stdout.contains("us-east-9 has no Face Liveness"), "{output:?}");
    let settings = [&settings[..], &[("AWS_REGION", "us-east-1"), ("AWS_USE_DUALSTACK_ENDPOINT", "true")]].concat();
    run(&["check"], &settings).await.assert_error(1, &["https://rekognition.us-east-1.api.aws cannot be reached"]);
    let with_password = run(&["check"], &aws("http://user:hunter2@127.0.0.1:1")).await;
    with_password.assert_error(1, &["http://127.0.0.1:1 cannot be reached"]);
    assert!(!format!("{with_password:?}").contains("hunter2"), "{with_password:?}");
}

#[tokio::test]
async fn check_names_the_files_that_lack_a_profile() {
    let files = Files::new();
    let config = files.write("config", "[profile child]\nrole_arn = any\nsource_profile = gone\n");
    let in_files = format!("does not exist in {config} or ~/.aws/credentials");
    for (profile, words) in [("nope", "AWS_PROFILE: profile nope"), ("child", "source_profile: profile gone")] {
        let settings = [("AWS_REGION", "us-east-1"), ("AWS_CONFIG_FILE", &config), ("AWS_PROFILE", profile)];
        run(&["check"], &settings).await.assert_error(1, &[words, &in_files]);
    }
}

#[tokio::test]
async fn check_tries_the_shared_cache() {
    let (_simulator, endpoint) = simulator().await;
    let (files, redis) = (Files::new(), Redis::start().ready());
    let key = files.write("key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
    let url = redis.url();
    let cache = [("FACE_LIVENESS_SHARED_CACHE_URL", url.as_str()), ("FACE_LIVENESS_SHARED_CACHE_KEY_FILE", &key)];
    let settings = [&aws(&endpoint)[..], &cache].concat();
    // A busy machine can take longer than the default.
    let check = ["check", "--shared-cache-timeout", "5s"];
    let output = run(&check, &settings).await;
    let line = format!("shared cache 127.0.0.1:{} accepts reads and writes", redis.port);
    assert!(output.code == Some(0) && output.stdout.contains(&line), "{output:?}");
    let wrong_password = [&settings[..], &[("FACE_LIVENESS_SHARED_CACHE_PASSWORD", "wrong")]].concat();
    run(&check, &wrong_password).await.assert_error(1, &["the shared cache at 127.0.0.1", "username or password"]);
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    run(&check, &settings).await.assert_error(1, &["the shared cache at 127.0.0.1", "it is full"]);
    drop(redis);
    let output = run(&check, &settings).await;
    output.assert_error(1, &["the shared cache at 127.0.0.1", "cannot be used", "connection refused"]);
    assert!(output.stdout.contains("is granted"), "the read is checked too: {output:?}");
    let without_key = [&aws(&endpoint)[..], &cache[..1]].concat();
    run(&["check"], &without_key).await.assert_error(64, &["--shared-cache-key-file"]);
}
