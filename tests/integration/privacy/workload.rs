//! What is driven: all that a session can come to, and all that AWS can answer in its place.

use super::{
    caller::{Caller, waiting},
    planted::{self, id},
};
use crate::{facade, faults};
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, ResultView, Source},
    simulator::{Fault, FaultKind, Pace, Session, Simulator, Status},
};
use std::time::Duration;
use tokio::task::JoinSet;

/// Sessions of each kind of use, apart from those of others.
const STATUSES: usize = 0x10;
const LIVING: [usize; 2] = [0x21, 0x23];
const IN_PROGRESS: usize = 0x24;
const UNKNOWN: usize = 0x25;
const FORGOTTEN: usize = 0x26;
const FAULTS: usize = 0x100;
const HANGING: usize = 0x300;

const VIEWS: [ResultView; 3] = [ResultView::Basic, ResultView::Reference, ResultView::Full];

/// From now on AWS answers so about that session.
pub fn response(simulator: &Simulator, number: usize, kind: FaultKind) {
    simulator.script(Fault { session_id: Some(id(number)), ..Fault::new(kind) });
}

/// A result with all that is planted, in that status.
pub fn result(simulator: &Simulator, number: usize, status: &str) {
    let content_type = Some("application/x-amz-json-1.1".to_owned());
    response(
        simulator,
        number,
        FaultKind::Raw { status: 200, content_type, body: planted::result(&id(number), status) },
    );
}

/// Every status in every view, read from AWS and held.
pub async fn statuses(simulator: &Simulator, caller: &Caller) {
    let statuses = ["SUCCEEDED", "FAILED", "EXPIRED", "CREATED", "IN_PROGRESS", "REVIEW"];
    for (number, status) in (STATUSES..).zip(statuses) {
        result(simulator, number, status);
        for view in VIEWS.repeat(2) {
            let request = GetLivenessResultRequest { view: view.into(), ..planted::full(number) };
            caller.call(request).await.unwrap_or_else(|error| panic!("{status}: {error}"));
        }
    }
    let held = caller.call(planted::full(STATUSES)).await.expect("a response");
    assert_eq!(held.source(), Source::Cache);
    let result = held.result.expect("a result");
    assert_eq!(result.confidence, Some(planted::CONFIDENCE));
    assert_eq!(result.reference_image.expect("an image").content, planted::image());
    assert!(result.audit_images[1].s3_object.as_ref().is_some_and(|object| object.name.starts_with(planted::KEY)));
    simulator.clear_faults();
}

/// Callers who wait: for the end, in vain, and until they hang up.
pub async fn waits(simulator: &Simulator, caller: &Caller) {
    let moment = Some(Duration::from_millis(200));
    let mut callers = JoinSet::new();
    for number in LIVING {
        let session = planted::session(number, Pace::FromFirstRead);
        simulator.place(Session { created_for: moment, in_progress_for: moment, ..session });
        for _ in 0..3 {
            let caller = caller.clone();
            callers.spawn(async move { caller.call(waiting(number, Duration::from_secs(20))).await });
        }
    }
    for end in callers.join_all().await {
        let result = end.expect("a response").result.expect("a result");
        assert_eq!(result.confidence, Some(planted::CONFIDENCE));
        assert!(result.reference_image.is_some_and(|image| image.s3_object.is_some()), "a planted key");
    }
    simulator.place(planted::session(IN_PROGRESS, Pace::Frozen(Status::InProgress)));
    caller.call(waiting(IN_PROGRESS, Duration::from_millis(100))).await.expect("its state");
    // Hangs up when the session has been read for it: the first read may be the caller's before.
    let reads = simulator.reads_of(&id(IN_PROGRESS));
    let is_read = facade::eventually("it is read again", async || simulator.reads_of(&id(IN_PROGRESS)) > reads + 1);
    tokio::select! {
        _ = caller.call(waiting(IN_PROGRESS, Duration::from_secs(20))) => panic!("a pending status ends no wait"),
        () = is_read => {}
    }
}

/// Sessions that AWS never knew, and one that it has forgotten.
pub async fn unknown(simulator: &Simulator, caller: &Caller) {
    for _ in 0..2 {
        caller.call(planted::full(UNKNOWN)).await.expect_err("nobody knows it");
    }
    simulator.place(planted::session(FORGOTTEN, Pace::Frozen(Status::InProgress)));
    caller.call(planted::full(FORGOTTEN)).await.expect("its state");
    let code = "SessionNotFoundException".to_owned();
    response(
        simulator,
        FORGOTTEN,
        FaultKind::Error { code, status: 400, message: Some(planted::words(&id(FORGOTTEN))) },
    );
    facade::eventually("it is gone", async || caller.call(planted::full(FORGOTTEN)).await.is_err()).await;
    // The service answers a moment before the deadline, which a busy machine may miss.
    (HANGING..HANGING + 20).for_each(|number| response(simulator, number, FaultKind::Hang));
    caller.call_until_error("DEADLINE_EXCEEDED", HANGING, Duration::from_millis(500)).await;
}

/// All that AWS, or somebody before it, answers in the matrix of faults, with all that is planted
/// in it. Answers how many.
pub async fn faults(simulator: &Simulator, caller: &Caller) -> usize {
    let kinds: Vec<_> = faults::responses().into_iter().flat_map(with_words).collect();
    let count = kinds.len();
    let mut callers = JoinSet::new();
    for (number, kind) in (FAULTS..).zip(kinds) {
        simulator.place(planted::session(number, Pace::Frozen(Status::Succeeded)));
        response(simulator, number, about(number, kind));
        let caller = caller.clone();
        callers.spawn(async move {
            caller.try_call(number).await;
            // From memory, or again.
            caller.try_call(number).await;
        });
    }
    callers.join_all().await;
    count
}

/// The fault itself, and where AWS's sentence would not be in it, the fault with that behind it.
fn with_words(kind: FaultKind) -> Vec<FaultKind> {
    match &kind {
        FaultKind::Raw { status, content_type, body } => {
            let body = format!("{body}{}", planted::result("", "SUCCEEDED"));
            vec![kind.clone(), FaultKind::Raw { status: *status, content_type: content_type.clone(), body }]
        }
        _ => vec![kind],
    }
}

/// The same fault of a session of ours.
fn about(number: usize, kind: FaultKind) -> FaultKind {
    match kind {
        FaultKind::Error { code, status, .. } => {
            FaultKind::Error { code, status, message: Some(planted::words(&id(number))) }
        }
        FaultKind::Raw { status, content_type, body } => {
            let body = body
                .replace(&facade::id(1), &id(number))
                .replace(r#""SessionId":"""#, &format!(r#""SessionId":"{}""#, id(number)));
            FaultKind::Raw { status, content_type, body }
        }
        FaultKind::Latency { .. } | FaultKind::Hang | FaultKind::HangBody | FaultKind::CutBody => kind,
    }
}
