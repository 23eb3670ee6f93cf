//! AWS variables without a value: rejected where the SDK would use the empty string as a value.

use crate::{
    commands::run,
    facade::{eventually, id, reason, request},
    program::{aws, serve, simulator},
};

#[tokio::test]
async fn a_blank_variable_that_would_override_a_setting_exits_64() {
    let settings = aws("http://127.0.0.1:1");
    for name in [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_REKOGNITION",
        "AWS_ENDPOINT_URL_STS",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "SSL_CERT_FILE",
    ] {
        for value in ["", " ", "\n"] {
            let settings = [&settings[..], &[(name, value)]].concat();
            for command in [&["serve"][..], &["serve", "--validate"], &["check"]] {
                run(command, &settings).await.assert_error(64, &[name, "has no value"]);
            }
        }
    }
}

#[tokio::test]
async fn a_region_or_an_endpoint_with_a_line_break_exits_64() {
    let (region, endpoint) = ("us-east-1\n", "http://127.0.0.1:1\n");
    for (name, value) in [
        ("AWS_REGION", region),
        ("AWS_REGION", " us-east-1"),
        ("AWS_REGION", "US-EAST-1"),
        ("AWS_DEFAULT_REGION", region),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ENDPOINT_URL_STS", endpoint),
        ("HTTPS_PROXY", endpoint),
        ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE\n"),
    ] {
        run(&["serve", "--validate"], &[("AWS_REGION", "eu-west-1"), (name, value)])
            .await
            .assert_error(64, &[name, "must be"]);
    }
}

#[tokio::test]
async fn an_empty_variable_that_the_sdk_ignores_changes_nothing() {
    let (simulator, endpoint) = simulator().await;
    let names = [
        "AWS_SESSION_TOKEN",
        "AWS_ACCOUNT_ID",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_MAX_ATTEMPTS",
        "AWS_RETRY_MODE",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ];
    let settings = [&aws(&endpoint)[..], &names.map(|name| (name, ""))].concat();
    assert_eq!(run(&["serve", "--validate"], &settings).await.code, Some(0));
    let running = serve(&[], &settings);
    eventually("it is ready", async || running.log().contains(r#""message":"ready""#)).await;
    let status = running.client().await.get_liveness_result(request(&id(1))).await.expect_err("unknown");
    assert_eq!((reason(&status).as_str(), simulator.reads()), ("SESSION_NOT_FOUND", 1));
}
