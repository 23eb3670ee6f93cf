//! Unknown environment variables.

use crate::{
    commands::run,
    program::{aws, serve},
};

const VALIDATE: [&str; 2] = ["serve", "--validate"];

#[tokio::test]
async fn a_misspelled_variable_exits_64_with_the_known_name() {
    let settings = aws("http://127.0.0.1:1");
    for (name, known) in [
        ("FACE_LIVENESS_TLS_CERTS", "FACE_LIVENESS_TLS_CERT?"),
        ("FACE_LIVENESS_ALLOWED_CLIENT", "FACE_LIVENESS_ALLOWED_CLIENTS?"),
        ("FACE_LIVENESS_IMAGE_TTTL", "FACE_LIVENESS_IMAGE_TTL?"),
        ("FACE_LIVNESS_TLS_KEY", "FACE_LIVENESS_TLS_KEY?"),
        ("face_liveness_tls_key", "FACE_LIVENESS_TLS_KEY?"),
    ] {
        let settings = [&settings[..], &[(name, "x")]].concat();
        for command in [&["serve"][..], &VALIDATE, &["demo"], &["simulate"], &["check"]] {
            run(command, &settings).await.assert_error(64, &[name, known]);
        }
        // A probe of a running server still works.
        let probe = run(&["health", "--address", "127.0.0.1:1"], &settings).await;
        probe.assert_error(1, &["cannot connect"]);
    }
}

#[tokio::test]
async fn all_misspelled_variables_are_reported_at_once() {
    let settings =
        [("FACE_LIVENESS_TLS_CERTS", "x"), ("FACE_LIVENESS_ALLOWED_CLIENT", "y"), ("FACE_LIVENESS_IMAGES", "z")];
    let output = run(&VALIDATE, &[&aws("http://127.0.0.1:1")[..], &settings].concat()).await;
    assert_eq!((output.code, output.stderr_lines.len(), &*output.stdout), (Some(64), 3, ""), "{output:?}");
}

#[tokio::test]
async fn an_unknown_variable_with_the_prefix_logs_a_warning() {
    let settings = [&aws("http://127.0.0.1:1")[..], &[("FACE_LIVENESS_TEAM", "x")]].concat();
    let running = serve(&[], &settings);
    let sentence = r#""FACE_LIVENESS_TEAM" is not a variable of this program, and is ignored"#;
    assert_eq!(running.warnings, [sentence]);
    let output = run(&[&VALIDATE[..], &["--log-format", "text"]].concat(), &settings).await;
    assert_eq!((output.code, &*output.stdout), (Some(0), "The configuration is valid.\n"), "{output:?}");
    assert!(output.stderr_lines.len() == 1 && output.stderr_lines[0].contains(sentence), "{output:?}");
}

#[tokio::test]
async fn service_link_variables_of_kubernetes_are_ignored() {
    let links = [
        ("FACE_LIVENESS_SERVICE_HOST", "10.0.0.1"),
        ("FACE_LIVENESS_SERVICE_PORT", "50051"),
        ("FACE_LIVENESS_SERVICE_PORT_GRPC", "50051"),
        ("FACE_LIVENESS_PORT", "tcp://10.0.0.1:50051"),
        ("FACE_LIVENESS_PORT_50051_TCP", "tcp://10.0.0.1:50051"),
        ("FACE_LIVENESS_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ("FACE_LIVENESS_FACADE_PORT_50051_TCP_PROTO", "tcp"),
        ("FACE_LIVENESS_FACADE_ADMIN_SERVICE_HOST", "10.0.0.2"),
    ];
    let settings = [&aws("http://127.0.0.1:1")[..], &links].concat();
    assert_eq!(serve(&[], &settings).warnings, Vec::<String>::new());
    let output = run(&VALIDATE, &settings).await;
    assert_eq!((output.code, output.stderr_lines.len()), (Some(0), 0), "{output:?}");
}
