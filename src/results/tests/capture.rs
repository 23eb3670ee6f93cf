//! Captures of abandoned sessions, and graceful shutdowns.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_abandoned_session_is_captured_and_served_from_the_cache() {
    let fixture = Fixture::start();
    let created_for = Some(Duration::from_secs(170));
    fixture.simulator.place(Session { created_for, in_progress_for: Some(5 * SECOND), ..Session::new(text(1)) });
    let first = fixture.get(1, MINUTE).await;
    assert_eq!(status(&first), Ok(LivenessStatus::Created));
    tokio::time::sleep(5 * MINUTE).await;
    let reads = fixture.reads(1);
    let late = fixture.get(1, MINUTE).await;
    assert_eq!(status(&late), Ok(LivenessStatus::Succeeded));
    assert_eq!(fixture.reads(1), reads, "from the cache");
    assert!(reads < 50, "{reads} reads for a session without subscribers");
    assert_eq!(fixture.results.polls(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_capture_a_poll_ends_after_its_last_subscriber() {
    let fixture = Fixture::with(ReaderSettings { capture: false, ..SETTINGS }, simulator::Config::default());
    fixture.freeze(1, Status::Created);
    fixture.get(1, MINUTE).await.expect("a status");
    assert_eq!(fixture.results.polls(), 1);
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(fixture.results.polls(), 0);
    let reads = fixture.reads(1);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(fixture.reads(1), reads);
}

#[tokio::test(start_paused = true)]
async fn a_capture_ends_after_three_minutes() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::Created);
    fixture.get(1, MINUTE).await.expect("a status");
    tokio::time::sleep(4 * MINUTE).await;
    assert_eq!(fixture.results.polls(), 0);
    assert!((30..=40).contains(&fixture.reads(1)), "{}", fixture.reads(1));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_every_poll_and_returns_what_is_known() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::InProgress);
    fixture.simulator.script(Fault { session_id: Some(text(2)), ..Fault::new(error("ThrottlingException", 400)) });
    let (known, unknown) = (fixture.wait(1, 50), fixture.wait(2, 50));
    tokio::time::sleep(3 * SECOND).await;
    fixture.results.stop();
    let (response, waited) = known.await.unwrap();
    assert_eq!((status(&response), waited.as_secs()), (Ok(LivenessStatus::InProgress), 3));
    assert_eq!(status(&unknown.await.unwrap().0), Err(Reason::ShuttingDown));
    fixture.results.stopped().await;
    assert_eq!(fixture.results.polls(), 0);
    assert_eq!(status(&fixture.get(3, MINUTE).await), Err(Reason::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn a_capture_survives_an_error_that_is_fixed_later() {
    for kind in [
        error("ExpiredTokenException", 403),
        error("AccessDeniedException", 400),
        FaultKind::Raw { status: 200, content_type: None, body: "{}".into() },
    ] {
        let fixture = Fixture::start();
        let created_for = Some(Duration::from_secs(60));
        fixture.simulator.place(Session { created_for, ..Session::new(text(1)) });
        fixture.get(1, MINUTE).await.expect("a status");
        tokio::time::sleep(10 * SECOND).await;
        fixture.simulator.script(Fault { times: Some(1), ..Fault::new(kind) });
        tokio::time::sleep(5 * MINUTE).await;
        assert_eq!(status(&fixture.get(1, MINUTE).await), Ok(LivenessStatus::Succeeded));
        assert_eq!(fixture.results.polls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_session_is_not_rejected_after_a_shutdown() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::InProgress);
    fixture.get(1, MINUTE).await.expect("a status");
    fixture.results.stop();
    fixture.results.stopped().await;
    assert_eq!(status(&fixture.get(1, MINUTE).await), Ok(LivenessStatus::InProgress));
    assert_eq!(status(&fixture.wait(1, 50).await.unwrap().0), Ok(LivenessStatus::InProgress));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_was_never_read_is_not_captured() {
    let fixture = Fixture::with(ReaderSettings { rate: Some(1.0), ..SETTINGS }, simulator::Config::default());
    let abandoned: Vec<_> = (0..50).map(|number| fixture.wait(number, 50)).collect();
    tokio::time::sleep(SECOND / 10).await;
    abandoned.iter().for_each(JoinHandle::abort);
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(fixture.results.polls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_capture_backs_off_for_its_period() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::Created);
    fixture.get(1, MINUTE).await.expect("a status");
    tokio::time::sleep(4 * SECOND).await;
    let reads = fixture.reads(1);
    fixture.simulator.script(Fault::new(error("ThrottlingException", 400)));
    tokio::time::sleep(MINUTE).await;
    assert!(fixture.reads(1) - reads <= 13, "{} reads in a minute", fixture.reads(1) - reads);
}

#[tokio::test(start_paused = true)]
async fn a_gone_session_is_not_reported_as_pending_after_a_shutdown() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::InProgress);
    fixture.get(1, MINUTE).await.expect("a status");
    fixture.simulator.script(Fault::new(error("SessionNotFoundException", 400)));
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(status(&fixture.get(1, MINUTE).await), Err(Reason::SessionGone));
    fixture.results.stop();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(status(&fixture.get(1, MINUTE).await), Err(Reason::SessionGone));
}
