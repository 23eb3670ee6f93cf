//! `serve --validate` rejects what cannot work, and logs the warnings of `serve`.

use crate::{
    certificates::{Authority, Secret, expired, server},
    commands::{CommandOutput, run},
    facade::eventually,
    program::{aws, serve},
};
use rcgen::{CertificateParams, date_time_ymd};

async fn validate(flags: &[&str], settings: &[(&str, &str)]) -> CommandOutput {
    run(&[&["serve", "--validate", "--log-format", "text"], flags].concat(), settings).await
}

#[tokio::test]
async fn validate_rejects_a_configuration_without_a_region() {
    let output = validate(&[], &aws("http://127.0.0.1:1")[2..]).await;
    output.assert_error(64, &["no AWS region", "set AWS_REGION", "us-west-2"]);
    assert_eq!(output.stdout, "");
}

#[tokio::test]
async fn validate_warns_of_a_region_without_face_liveness_as_serve_does() {
    let settings = [&aws("http://127.0.0.1:1")[2..], &[("AWS_REGION", "eu-central-1")]].concat();
    let running = serve(&[], &settings);
    let output = validate(&[], &settings).await;
    output.assert_error(0, &[&running.warnings[0]]);
    assert_eq!(output.stdout, "The configuration is valid.\n");
}

/// Issues a certificate. Returns its files and the flags of a server that uses them.
fn tls(params: CertificateParams) -> (Secret, Vec<String>) {
    let secret = Secret::new(&Authority::new().issue(params), "");
    let files = secret.files();
    let [cert, key] = [files.cert, files.key].map(|path| path.to_str().expect("the path is text").to_owned());
    (secret, vec!["--tls-cert".to_owned(), cert, "--tls-key".to_owned(), key])
}

#[tokio::test]
async fn validate_rejects_an_expired_certificate_and_serve_warns_of_it() {
    let (_secret, flags) = tls(expired(server()));
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let settings = aws("http://127.0.0.1:1");
    let output = validate(&flags, &settings).await;
    output.assert_error(64, &["--tls-cert", "has expired", "2002-01-01"]);
    assert_eq!(output.stdout, "");
    // The certificate can be replaced while the server runs.
    let running = serve(&flags, &settings);
    eventually("the warning is logged", async || running.log().contains("the server's certificate has expired")).await;
}

#[tokio::test]
async fn a_certificate_that_is_not_yet_valid_logs_a_warning() {
    let mut params = server();
    (params.not_before, params.not_after) = (date_time_ymd(2100, 1, 2), date_time_ymd(2101, 1, 1));
    let (_secret, flags) = tls(params);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let settings = aws("http://127.0.0.1:1");
    let output = validate(&flags, &settings).await;
    output.assert_error(0, &["the server's certificate is not yet valid", "2100-01-02"]);
    let running = serve(&flags, &settings);
    eventually("the warning is logged", async || running.log().contains("is not yet valid")).await;
}

#[tokio::test]
async fn validate_warns_of_a_missing_aws_config_file_as_serve_does() {
    let settings = [&aws("http://127.0.0.1:1")[..], &[("AWS_CONFIG_FILE", "/nowhere/config")]].concat();
    let running = serve(&[], &settings);
    assert!(running.warnings[0].contains("config file"), "{:?}", running.warnings);
    validate(&[], &settings).await.assert_error(0, &[&running.warnings[0]]);
}
