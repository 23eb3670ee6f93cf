//! The proof that nothing of a person leaves but in an answer to the caller: it is planted, the real
//! program is driven through all that it can do and all that can go wrong, and everything that it
//! wrote or sent elsewhere is searched. `make privacy-proof` prints the table.
//!
//! No panic is among what is driven, since none can be brought about from outside: what may fail on
//! a request's way is a `Result` of
//! [`error::Error`](face_liveness_facade::error::Error), and every `expect` is of this program's own doing and says why it holds. Were one
//! wrong, standard error would have its words and the `Debug` of a library's error about a lock, a
//! channel or a semaphore, which hold no data; and of our own types that hold any, `Debug` prints
//! none (`proto::tests::nothing_of_a_person_is_printed` and its like).

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
    program::{serve, simulator},
};
use face_liveness_facade::{
    error::Reason,
    proto::{self, ResultView, face_liveness_service_client::FaceLivenessServiceClient},
    simulator::{Pace, Session, Status},
};

#[tokio::test(flavor = "multi_thread")]
async fn no_personal_data_is_in_logs_metrics_traces_errors_files_or_core_dumps() {
    let proof = scenarios::all().await;
    println!("{proof}");
    assert_eq!(proof.leaks(), Vec::<String>::new());
    assert_eq!(proof.held(), search::Secret::ALL.map(|(secret, _)| secret), "all of it was held and answered");
    let told = proof.received.lock().reasons.clone();
    // No input is known that leads to a defect, and its message is a constant.
    let driven = Reason::ALL.into_iter().filter(|reason| *reason != Reason::Internal);
    let untold: Vec<_> = driven.filter(|reason| !told.contains(reason.name())).collect();
    assert_eq!(untold, [], "every error was driven");
    assert!(proof.seen.spans > 100 && proof.seen.log.len() > 100_000 && !proof.seen.pages.is_empty(), "it was seen");
}

#[tokio::test]
async fn by_default_the_access_log_has_only_responses_with_images() {
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    let running = serve(
        &[],
        &[
            ("AWS_ENDPOINT_URL_REKOGNITION", &endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "any"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
        ],
    );
    let mut client =
        FaceLivenessServiceClient::connect(format!("http://{}", running.address)).await.expect("it listens");
    for view in [ResultView::Basic, ResultView::Basic, ResultView::Reference] {
        let asked = proto::GetLivenessResultRequest { view: view.into(), ..request(&id(1)) };
        client.get_liveness_result(asked).await.expect("a response");
    }
    eventually("the face is logged", async || running.log().contains(r#""images":true"#)).await;
    assert_eq!(running.log().matches(r#""target":"access""#).count(), 1);
}
