//! Proves that personal data leaves the program only in responses. The tests plant such data, drive
//! the program through all its functions and faults, and search everything that it writes or sends.
//! `make privacy-proof` prints the table.
//!
//! No test provokes a panic, since no input is known that causes one. Fallible steps of a request
//! return [`error::Error`](face_liveness_facade::error::Error), and each `expect` states why it
//! holds. If one were wrong, standard error would contain its message and the `Debug` of an error
//! of a lock, channel or semaphore, which has no data. `Debug` of our types that contain personal
//! data omits it, which their unit tests prove.

mod caller;
mod handshakes;
mod misuse;
pub mod planted;
mod proof;
mod received;
mod scenarios;
pub mod search;
mod watched_program;
mod workload;

use crate::{
    facade::{eventually, id, request},
    program::{aws, serve, simulator},
};
use face_liveness_facade::{
    error::Reason,
    proto::{self, ResultView},
    simulator::{Pace, Session, Status},
};

#[tokio::test(flavor = "multi_thread")]
async fn no_personal_data_is_in_logs_metrics_traces_errors_files_or_core_dumps() {
    let proof = scenarios::all().await;
    println!("{proof}");
    assert_eq!(proof.leaks(), Vec::<String>::new());
    assert_eq!(proof.cached(), search::Secret::ALL.map(|(secret, _)| secret), "all of it was cached and returned");
    let returned = proof.received.lock().reasons.clone();
    // No input is known that causes an internal error, and its message is a constant. A client that
    // does not read its response loses its connection, and gets no message.
    let unreturned = [Reason::Internal, Reason::ResponseNotRead];
    let expected = Reason::ALL.into_iter().filter(|reason| !unreturned.contains(reason));
    let missing: Vec<_> = expected.filter(|reason| !returned.contains(reason.name())).collect();
    assert_eq!(missing, [], "every error was returned");
    let (log, pages) = (String::from_utf8_lossy(&proof.observed.log), String::from_utf8_lossy(&proof.observed.pages));
    assert!(log.contains(r#""verdict":"VERDICT_TOO_OLD""#), "the log was searched with each verdict");
    for series in [
        r#"face_liveness_verdicts_total{verdict="too_old"} 1"#,
        r#"{challenge="other",sdk_type="web",status="succeeded",verdict="unspecified"} 1"#,
        r#"face_liveness_feedback_total{code="other"} "#,
    ] {
        assert!(pages.contains(series), "the metrics were searched with {series}");
    }
    assert!(
        proof.observed.spans > 100 && proof.observed.log.len() > 100_000 && !proof.observed.pages.is_empty(),
        "the program was observed"
    );
}

#[tokio::test]
async fn by_default_the_access_log_has_only_responses_with_images() {
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    let running = serve(&[], &aws(&endpoint));
    let mut client = running.client().await;
    for view in [ResultView::Basic, ResultView::Basic, ResultView::Reference] {
        let request = proto::GetLivenessResultRequest { view: view.into(), ..request(&id(1)) };
        client.get_liveness_result(request).await.expect("a response");
    }
    eventually("the image access is logged", async || running.log().contains(r#""images":true"#)).await;
    assert_eq!(running.log().matches(r#""target":"access""#).count(), 1);
}
