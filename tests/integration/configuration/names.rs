//! Names of variables that the program does not have.

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
            run(command, &settings).await.complains(64, &[name, known]);
        }
        // A probe of a running server goes on.
        let probe = run(&["health", "--address", "127.0.0.1:1"], &settings).await;
        probe.complains(1, &["cannot connect"]);
    }
}

#[tokio::test]
async fn all_misspelled_variables_are_reported_at_once() {
    let settings =
        [("FACE_LIVENESS_TLS_CERTS", "x"), ("FACE_LIVENESS_ALLOWED_CLIENT", "y"), ("FACE_LIVENESS_IMAGES", "z")];
    let outcome = run(&VALIDATE, &[&aws("http://127.0.0.1:1")[..], &settings].concat()).await;
    assert_eq!((outcome.code, outcome.complaints.len(), &*outcome.said), (Some(64), 3, ""), "{outcome:?}");
}

#[tokio::test]
async fn another_unknown_variable_is_warned_of() {
    let settings = [&aws("http://127.0.0.1:1")[..], &[("FACE_LIVENESS_TEAM", "x")]].concat();
    let running = serve(&[], &settings);
    let sentence = r#""FACE_LIVENESS_TEAM" is not a variable of this program, and is ignored"#;
    assert_eq!(running.warnings, [sentence]);
    let outcome = run(&[&VALIDATE[..], &["--log-format", "text"]].concat(), &settings).await;
    assert_eq!((outcome.code, &*outcome.said), (Some(0), "The configuration is valid.\n"), "{outcome:?}");
    assert!(outcome.complaints.len() == 1 && outcome.complaints[0].contains(sentence), "{outcome:?}");
}

#[tokio::test]
async fn variables_of_kubernetes_for_a_service_are_ignored() {
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
    let outcome = run(&VALIDATE, &settings).await;
    assert_eq!((outcome.code, outcome.complaints.len()), (Some(0), 0), "{outcome:?}");
}
