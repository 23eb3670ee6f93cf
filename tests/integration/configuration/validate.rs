//! `serve --validate` rejects what can never work, and warns of all that `serve` warns of.

use crate::{
    certificates::{Authority, Secret, expired, server},
    commands::{Outcome, run},
    facade::eventually,
    program::{aws, serve},
};
use rcgen::{CertificateParams, date_time_ymd};

async fn validate(flags: &[&str], settings: &[(&str, &str)]) -> Outcome {
    run(&[&["serve", "--validate", "--log-format", "text"], flags].concat(), settings).await
}

#[tokio::test]
async fn without_a_region_a_configuration_is_not_valid() {
    let outcome = validate(&[], &aws("http://127.0.0.1:1")[2..]).await;
    outcome.complains(64, &["no AWS region", "set AWS_REGION", "us-west-2"]);
    assert_eq!(outcome.said, "");
}

#[tokio::test]
async fn a_region_without_face_liveness_is_valid_with_the_warning_of_serve() {
    let settings = [&aws("http://127.0.0.1:1")[2..], &[("AWS_REGION", "eu-central-1")]].concat();
    let running = serve(&[], &settings);
    let outcome = validate(&[], &settings).await;
    outcome.complains(0, &[&running.warnings[0]]);
    assert_eq!(outcome.said, "The configuration is valid.\n");
}

/// The flags of a server with such a certificate, and the files.
fn tls(params: CertificateParams) -> (Secret, Vec<String>) {
    let secret = Secret::new(&Authority::new().issue(params), "");
    let files = secret.files();
    let [cert, key] = [files.cert, files.key].map(|path| path.to_str().expect("the path is text").to_owned());
    (secret, vec!["--tls-cert".to_owned(), cert, "--tls-key".to_owned(), key])
}

#[tokio::test]
async fn an_expired_certificate_is_not_valid_and_serve_warns_of_it() {
    let (_secret, flags) = tls(expired(server()));
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let settings = aws("http://127.0.0.1:1");
    let outcome = validate(&flags, &settings).await;
    outcome.complains(64, &["--tls-cert", "has expired", "2002-01-01"]);
    assert_eq!(outcome.said, "");
    // A new certificate can come while it runs.
    let running = serve(&flags, &settings);
    eventually("it warns", async || running.log().contains("the server's certificate has expired")).await;
}

#[tokio::test]
async fn a_certificate_that_is_not_yet_valid_is_warned_of() {
    let mut params = server();
    (params.not_before, params.not_after) = (date_time_ymd(2100, 1, 2), date_time_ymd(2101, 1, 1));
    let (_secret, flags) = tls(params);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let settings = aws("http://127.0.0.1:1");
    let outcome = validate(&flags, &settings).await;
    outcome.complains(0, &["the server's certificate is not yet valid", "2100-01-02"]);
    let running = serve(&flags, &settings);
    eventually("it warns", async || running.log().contains("is not yet valid")).await;
}

#[tokio::test]
async fn a_file_that_the_sdk_cannot_find_is_warned_of_as_by_serve() {
    let settings = [&aws("http://127.0.0.1:1")[..], &[("AWS_CONFIG_FILE", "/nowhere/config")]].concat();
    let running = serve(&[], &settings);
    assert!(running.warnings[0].contains("config file"), "{:?}", running.warnings);
    validate(&[], &settings).await.complains(0, &[&running.warnings[0]]);
}
