//! What callers get when AWS fails.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_wait_survives_throttling_unavailability_and_timeouts() {
    for kind in [error("ThrottlingException", 400), error("InternalServerError", 500), FaultKind::Hang] {
        let fixture = Fixture::start();
        fixture.place(1, SUCCEEDED);
        fixture.simulator.script(Fault::new(kind));
        let caller = fixture.wait(1, 50);
        tokio::time::sleep(20 * SECOND).await;
        fixture.simulator.clear_faults();
        let (response, waited) = caller.await.unwrap();
        assert_eq!(status(&response), Ok(LivenessStatus::Succeeded));
        assert!(waited < Duration::from_secs(40), "{waited:?}");
        assert!(fixture.reads(1) < 60, "{} reads", fixture.reads(1));
    }
}

#[tokio::test(start_paused = true)]
async fn every_other_error_ends_all_waits_at_once() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::InProgress);
    let callers = [(); 5].map(|()| fixture.wait(1, 30));
    tokio::time::sleep(3 * SECOND).await;
    fixture.simulator.script(Fault::new(error("AccessDeniedException", 400)));
    for caller in callers {
        let (response, waited) = caller.await.unwrap();
        assert_eq!((status(&response), waited.as_secs()), (Err(Reason::UpstreamAccessDenied), 3));
    }
    tokio::time::sleep(4 * MINUTE).await;
    assert_eq!(fixture.results.polls(), 0);
}

#[tokio::test(start_paused = true)]
async fn throttled_callers_wait_until_their_deadlines() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::InProgress);
    fixture.simulator.script(Fault { times: Some(8), ..Fault::new(error("ThrottlingException", 400)) });
    let response = fixture.get(1, MINUTE).await;
    assert_eq!(status(&response), Ok(LivenessStatus::InProgress));
    assert_eq!(fixture.reads(1), 9);

    fixture.simulator.script(Fault::new(error("ThrottlingException", 400)));
    let started = Instant::now();
    let response = fixture.get(2, 5 * SECOND).await;
    assert_eq!((status(&response), started.elapsed()), (Err(Reason::UpstreamThrottled), 5 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn without_a_limiter_throttling_is_returned_after_three_attempts() {
    let fixture = Fixture::with(ReaderSettings { rate: None, ..SETTINGS }, simulator::Config::default());
    fixture.simulator.script(Fault::new(error("ThrottlingException", 400)));
    let response = fixture.get(1, MINUTE).await;
    assert_eq!((status(&response), fixture.reads(1)), (Err(Reason::UpstreamThrottled), 3));
}

#[tokio::test(start_paused = true)]
async fn a_transient_error_is_cached_for_its_retry_delay() {
    let fixture = Fixture::start();
    fixture.simulator.script(Fault::new(error("ServiceUnavailable", 503)));
    let response = fixture.get(1, MINUTE).await;
    assert_eq!((status(&response), fixture.reads(1)), (Err(Reason::UpstreamUnavailable), 3));
    for _ in 0..20 {
        let started = Instant::now();
        assert_eq!(status(&fixture.get(1, MINUTE).await), Err(Reason::UpstreamUnavailable));
        assert_eq!(started.elapsed(), Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fixture.reads(1), 3);
}

#[tokio::test(start_paused = true)]
async fn a_known_session_keeps_its_status_while_aws_fails() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::InProgress);
    let first = fixture.get(1, MINUTE).await.expect("a status");
    for kind in
        [error("ServiceUnavailable", 503), error("ThrottlingException", 400), error("AccessDeniedException", 400)]
    {
        fixture.simulator.script(Fault::new(kind));
        tokio::time::sleep(SECOND).await;
        let response = fixture.get(1, MINUTE).await.expect("the last status");
        assert_eq!(response.result.read_time, first.result.read_time);
        fixture.simulator.clear_faults();
    }
}

#[tokio::test(start_paused = true)]
async fn each_wait_returns_missing_credentials() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::InProgress);
    fixture.get(1, MINUTE).await.expect("a status");
    fixture.simulator.script(Fault::new(error("ExpiredTokenException", 403)));
    let first = fixture.wait(1, 50).await.unwrap().0.map(drop).expect_err("no credentials");
    let second = fixture.wait(1, 50).await.unwrap().0.map(drop).expect_err("no credentials");
    assert_eq!((first.reason, second.reason), (Reason::UpstreamCredentials, Reason::UpstreamCredentials));
    assert_eq!(status(&fixture.get(1, MINUTE).await), Ok(LivenessStatus::InProgress));
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_the_delay_starts_a_read_or_gets_a_new_delay() {
    let fixture = Fixture::start();
    fixture.simulator.script(Fault::new(error("ServiceUnavailable", 503)));
    for _ in 0..20 {
        let started = Instant::now();
        let error = fixture.get(1, MINUTE).await.map(drop).expect_err("unavailable");
        assert_eq!(error.reason, Reason::UpstreamUnavailable);
        assert!(started.elapsed() < SECOND, "waited for {:?}", started.elapsed());
        let delay = error.retry_delay().expect("a transient error");
        assert!(delay <= 6 * SECOND, "{delay:?}");
        tokio::time::sleep(delay).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_survives_a_cached_error_without_an_early_read() {
    let fixture = Fixture::start();
    fixture.simulator.script(Fault { times: Some(3), ..Fault::new(error("ServiceUnavailable", 503)) });
    let error = fixture.get(1, MINUTE).await.map(drop).expect_err("unavailable");
    fixture.freeze(1, Status::Succeeded);
    let (response, waited) = fixture.wait(1, 50).await.unwrap();
    assert_eq!(status(&response), Ok(LivenessStatus::Succeeded));
    assert!(waited >= error.retry_delay().expect("a transient error") - SECOND / 10, "{waited:?}");
    assert_eq!(fixture.reads(1), 4);
}

#[tokio::test(start_paused = true)]
async fn a_new_poll_does_not_read_before_a_cached_error_expires() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::Succeeded);
    let error = Error::new(Reason::UpstreamUnavailable);
    fixture.results.0.cache.negative.insert(id(1), &error, 10 * SECOND).await;
    let (response, waited) = fixture.wait(1, 50).await.unwrap();
    assert_eq!((status(&response), waited.as_secs()), (Ok(LivenessStatus::Succeeded), 10));
}

#[tokio::test(start_paused = true)]
async fn a_request_for_evicted_images_returns_the_result_while_aws_throttles() {
    let limits = CacheLimits { image_bytes: 1, ..SETTINGS.limits };
    let fixture = Fixture::with(ReaderSettings { limits, ..SETTINGS }, simulator::Config::default());
    fixture.simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(text(1)) });
    fixture.get(1, MINUTE).await.expect("a result");
    fixture.results.0.cache.run_pending_tasks().await;
    fixture.simulator.script(Fault::new(error("ThrottlingException", 400)));
    let started = Instant::now();
    let budget = WaitBudget { wait_until: None, respond_by: started + MINUTE };
    let response = fixture.results.get(id(1), &ClientKey::Others, ImageSet::ALL, budget).await.expect("the result");
    assert!(response.images.is_none() && started.elapsed() <= IMAGES_WAIT, "{:?}", started.elapsed());
}
