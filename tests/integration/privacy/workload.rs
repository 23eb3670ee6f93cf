//! The workload: sessions in every status, and every fault of AWS.

use super::{
    caller::{Caller, waiting},
    planted::{self, id},
};
use crate::{facade, faults};
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, ResultView, Source, Verdict},
    simulator::{Fault, FaultKind, Pace, Session, Simulator, Status},
};
use std::time::Duration;
use tokio::task::JoinSet;

/// The session numbers of each part of the workload.
const STATUSES: usize = 0x10;
const CHANGING: [usize; 2] = [0x21, 0x23];
const IN_PROGRESS: usize = 0x24;
const UNKNOWN: usize = 0x25;
const FORGOTTEN: usize = 0x26;
const FAULTS: usize = 0x100;
const HANGING: usize = 0x300;

const VIEWS: [ResultView; 3] = [ResultView::Basic, ResultView::Reference, ResultView::Full];

/// Makes AWS respond with this fault for a session.
pub fn respond_with(simulator: &Simulator, number: usize, kind: FaultKind) {
    simulator.script(Fault { session_id: Some(id(number)), ..Fault::new(kind) });
}

/// Makes AWS respond with all planted data and this status.
pub fn result(simulator: &Simulator, number: usize, status: &str) {
    let content_type = Some("application/x-amz-json-1.1".to_owned());
    respond_with(
        simulator,
        number,
        FaultKind::Raw { status: 200, content_type, body: planted::result(&id(number), status) },
    );
}

/// Requests every status in every view, from AWS and from the cache.
pub async fn statuses(simulator: &Simulator, caller: &Caller) {
    let statuses = ["SUCCEEDED", "FAILED", "EXPIRED", "CREATED", "IN_PROGRESS", "REVIEW"];
    for (number, status) in (STATUSES..).zip(statuses) {
        result(simulator, number, status);
        for view in VIEWS.repeat(2) {
            let request = GetLivenessResultRequest { view: view.into(), ..planted::full(number) };
            caller.call(request).await.unwrap_or_else(|error| panic!("{status}: {error}"));
        }
    }
    let cached = caller.call(planted::full(STATUSES)).await.expect("a response");
    assert_eq!(cached.source(), Source::Cache);
    let result = cached.result.expect("a result");
    assert_eq!(result.metadata.expect("metadata").sdk_type, planted::text(&id(STATUSES)));
    assert_eq!(result.confidence, Some(planted::CONFIDENCE));
    assert_eq!(result.reference_image.expect("an image").content, planted::image());
    assert!(result.audit_images[1].s3_object.as_ref().is_some_and(|object| object.name.starts_with(planted::KEY)));
    let max_result_age = Some(prost_types::Duration { seconds: 0, nanos: 1 });
    let request = GetLivenessResultRequest { min_confidence: Some(80.0), max_result_age, ..planted::full(STATUSES) };
    assert_eq!(caller.call(request).await.expect("a response").verdict(), Verdict::TooOld);
    simulator.clear_faults();
}

/// Calls with a wait: until the final status, until the wait ends, and until the caller hangs up.
pub async fn waits(simulator: &Simulator, caller: &Caller) {
    let moment = Some(Duration::from_millis(200));
    let mut callers = JoinSet::new();
    for number in CHANGING {
        let session = planted::session(number, Pace::FromFirstRead);
        simulator.place(Session { created_for: moment, in_progress_for: moment, ..session });
        for _ in 0..3 {
            let caller = caller.clone();
            callers.spawn(async move { caller.call(waiting(number, Duration::from_secs(20))).await });
        }
    }
    for response in callers.join_all().await {
        let result = response.expect("a response").result.expect("a result");
        assert_eq!(result.confidence, Some(planted::CONFIDENCE));
        assert!(result.reference_image.is_some_and(|image| image.s3_object.is_some()), "a planted key");
    }
    simulator.place(planted::session(IN_PROGRESS, Pace::Frozen(Status::InProgress)));
    caller.call(waiting(IN_PROGRESS, Duration::from_millis(100))).await.expect("its status");
    // Hangs up after two reads: the first may be for the previous call.
    let reads = simulator.reads_of(&id(IN_PROGRESS));
    let is_read = facade::eventually("it is read again", async || simulator.reads_of(&id(IN_PROGRESS)) > reads + 1);
    tokio::select! {
        _ = caller.call(waiting(IN_PROGRESS, Duration::from_secs(20))) => panic!("a pending status ends no wait"),
        () = is_read => {}
    }
}

/// Requests unknown sessions, and one that AWS has deleted.
pub async fn unknown(simulator: &Simulator, caller: &Caller) {
    for _ in 0..2 {
        caller.call(planted::full(UNKNOWN)).await.expect_err("the session is unknown");
    }
    simulator.place(planted::session(FORGOTTEN, Pace::Frozen(Status::InProgress)));
    caller.call(planted::full(FORGOTTEN)).await.expect("its status");
    let code = "SessionNotFoundException".to_owned();
    respond_with(
        simulator,
        FORGOTTEN,
        FaultKind::Error { code, status: 400, message: Some(planted::words(&id(FORGOTTEN))) },
    );
    facade::eventually("the session is gone", async || caller.call(planted::full(FORGOTTEN)).await.is_err()).await;
    // The service responds shortly before the deadline, which a busy machine may miss.
    (HANGING..HANGING + 20).for_each(|number| respond_with(simulator, number, FaultKind::Hang));
    caller.call_until_error("DEADLINE_EXCEEDED", HANGING, Duration::from_millis(500)).await;
}

/// Provokes every response of the fault matrix, with all planted data in it. Returns their number.
pub async fn faults(simulator: &Simulator, caller: &Caller) -> usize {
    let kinds: Vec<_> = faults::responses().into_iter().flat_map(with_planted_data).collect();
    let count = kinds.len();
    let mut callers = JoinSet::new();
    for (number, kind) in (FAULTS..).zip(kinds) {
        simulator.place(planted::session(number, Pace::Frozen(Status::Succeeded)));
        respond_with(simulator, number, for_session(number, kind));
        let caller = caller.clone();
        callers.spawn(async move {
            caller.try_call(number).await;
            // From the cache, or from AWS again.
            caller.try_call(number).await;
        });
    }
    callers.join_all().await;
    count
}

/// Returns the fault. A raw response is returned a second time, with the planted data appended.
fn with_planted_data(kind: FaultKind) -> Vec<FaultKind> {
    match &kind {
        FaultKind::Raw { status, content_type, body } => {
            let body = format!("{body}{}", planted::result("", "SUCCEEDED"));
            vec![kind.clone(), FaultKind::Raw { status: *status, content_type: content_type.clone(), body }]
        }
        _ => vec![kind],
    }
}

/// Returns the fault for this session, with the planted data in its message.
fn for_session(number: usize, kind: FaultKind) -> FaultKind {
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
