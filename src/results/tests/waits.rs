//! Waits for a final result, and calls for the current status.

use super::*;

#[tokio::test(start_paused = true)]
async fn concurrent_waiters_get_the_final_result_at_once_from_one_poll() {
    let fixture = Fixture::start();
    fixture.place(1, SUCCEEDED);
    let mut callers = Vec::new();
    for _ in 0..50 {
        callers.push(fixture.wait(1, 20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let started = Instant::now();
    let mut results = Vec::new();
    for caller in callers {
        let (response, _) = caller.await.unwrap();
        results.push((status(&response), response.unwrap().result.read_at));
        assert!(started.elapsed() < Duration::from_secs(3));
    }
    results.dedup();
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].0, Ok(LivenessStatus::Succeeded));
    // One read at once, and one every 530 ms for two seconds.
    assert!((4..=5).contains(&fixture.reads(1)), "{}", fixture.reads(1));
}

#[tokio::test(start_paused = true)]
async fn the_delay_of_a_final_result_is_measured_from_the_last_pending_read() {
    let fixture = Fixture::start();
    fixture.place(1, SUCCEEDED);
    fixture.wait(1, 20).await.unwrap().0.unwrap();
    let delay = &fixture.results.0.metrics.final_result_delay_seconds;
    // Reads are 530 ms apart: the latency of one, and the pending TTL.
    assert_eq!((delay.get_sample_count(), (delay.get_sample_sum() * 100.0).round()), (1, 53.0));
}

#[tokio::test(start_paused = true)]
async fn a_final_result_that_no_caller_waited_for_has_no_delay() {
    let fixture = Fixture::start();
    // Final at its first read, for an unknown time.
    fixture.freeze(1, Status::Succeeded);
    fixture.get(1, MINUTE).await.unwrap();
    // Final ten seconds after its caller left.
    fixture.freeze(2, Status::InProgress);
    fixture.get(2, MINUTE).await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    fixture.freeze(2, Status::Succeeded);
    tokio::time::sleep(10 * SECOND).await;
    let reads = fixture.reads(2);
    assert_eq!(status(&fixture.get(2, MINUTE).await), Ok(LivenessStatus::Succeeded));
    assert_eq!(fixture.reads(2), reads, "the result was captured");
    assert_eq!(fixture.results.0.metrics.final_result_delay_seconds.get_sample_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_expired_wait_returns_the_latest_status() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::Created);
    let (response, waited) = fixture.wait(1, 10).await.unwrap();
    assert_eq!(status(&response), Ok(LivenessStatus::Created));
    assert_eq!(waited.as_secs(), 10);
    assert!(response.unwrap().result.read_at.elapsed() < SECOND, "a status of the last second");
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_before_the_callers_deadline() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::InProgress);
    let started = Instant::now();
    let budget = WaitBudget { wait_until: Some(started + MINUTE), respond_by: started + 3 * SECOND };
    let response = fixture.results.get(id(1), &ClientKey::Others, ImageSet::NONE, budget).await;
    assert_eq!(status(&response), Ok(LivenessStatus::InProgress));
    assert_eq!(started.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn every_final_status_ends_the_wait() {
    let fixture = Fixture::start();
    fixture.place(1, SUCCEEDED);
    fixture.place(2, simulator::Outcome::Failed);
    fixture.place(3, simulator::Outcome::Expired);
    let callers = [1, 2, 3].map(|number| fixture.wait(number, 30));
    for (caller, expected) in
        callers.into_iter().zip([LivenessStatus::Succeeded, LivenessStatus::Failed, LivenessStatus::Expired])
    {
        assert_eq!(status(&caller.await.unwrap().0), Ok(expected));
    }
    assert_eq!(fixture.results.polls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_disappears_during_a_wait_is_gone_for_all_waiters() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::InProgress);
    let callers = [(); 5].map(|()| fixture.wait(1, 30));
    tokio::time::sleep(3 * SECOND).await;
    fixture.simulator.script(Fault::new(error("SessionNotFoundException", 400)));
    for caller in callers {
        let (response, waited) = caller.await.unwrap();
        assert_eq!(status(&response), Err(Reason::SessionGone));
        assert_eq!(waited.as_secs(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_hang_up_do_not_affect_the_others() {
    let fixture = Fixture::start();
    fixture.place(1, SUCCEEDED);
    let abandoned = [(); 5].map(|()| fixture.wait(1, 30));
    tokio::time::sleep(SECOND / 2).await;
    let remaining = fixture.wait(1, 30);
    tokio::time::sleep(SECOND / 10).await;
    abandoned.iter().for_each(JoinHandle::abort);
    assert_eq!(status(&remaining.await.unwrap().0), Ok(LivenessStatus::Succeeded));
    assert!(fixture.reads(1) <= 5, "{}", fixture.reads(1));
}

#[tokio::test(start_paused = true)]
async fn repeated_calls_share_reads_and_get_a_status_of_the_last_half_second() {
    let fixture = Fixture::start();
    fixture.freeze(1, Status::InProgress);
    for _ in 0..100 {
        let started = Instant::now();
        let response = fixture.get(1, MINUTE).await.expect("a status");
        assert!(started.duration_since(response.result.read_at) <= Duration::from_millis(530));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // One read every half a second for ten seconds, independent of the number of calls.
    assert!((18..=24).contains(&fixture.reads(1)), "{}", fixture.reads(1));
}

#[tokio::test(start_paused = true)]
async fn a_final_session_is_read_exactly_once() {
    let fixture = Fixture::start();
    for number in 0..30 {
        fixture.place(number, SUCCEEDED);
    }
    let callers: Vec<_> = (0..120).map(|caller| fixture.wait(caller % 30, 50)).collect();
    for caller in callers {
        assert_eq!(status(&caller.await.unwrap().0), Ok(LivenessStatus::Succeeded));
    }
    assert_eq!(fixture.simulator.reads_with_outcome("SUCCEEDED"), 30);
    let reads = fixture.simulator.reads();
    tokio::time::sleep(MINUTE).await;
    for number in 0..30 {
        fixture.get(number, MINUTE).await.expect("a result");
    }
    assert_eq!((fixture.simulator.reads(), fixture.results.polls()), (reads, 0));
}

#[tokio::test(start_paused = true)]
async fn an_expired_wait_returns_no_older_status_than_no_wait() {
    let fixture = Fixture::with(
        ReaderSettings { capture: false, ..SETTINGS },
        simulator::Config { latency: SECOND / 5, ..Default::default() },
    );
    fixture.freeze(1, Status::InProgress);
    fixture.get(1, MINUTE).await.expect("a status");
    tokio::time::sleep(2 * MINUTE).await;
    let started = Instant::now();
    let budget = WaitBudget { wait_until: Some(started + SECOND / 10), respond_by: started + MINUTE };
    let response = fixture.results.get(id(1), &ClientKey::Others, ImageSet::NONE, budget).await.expect("a status");
    assert!(response.result.read_at >= started && started.elapsed() <= FRESH_STATUS_WAIT);
}

#[tokio::test(start_paused = true)]
async fn time_in_the_queue_does_not_count_as_read_time() {
    let settings = ReaderSettings { rate: Some(0.5), ..SETTINGS };
    let fixture = Fixture::with(settings, simulator::Config { latency: 4 * SECOND, ..Default::default() });
    let callers: Vec<_> = (0..5)
        .map(|number| {
            fixture.freeze(number, Status::Succeeded);
            fixture.wait(number, 50)
        })
        .collect();
    for caller in callers {
        assert_eq!(status(&caller.await.unwrap().0), Ok(LivenessStatus::Succeeded));
    }
    assert_eq!(fixture.simulator.reads(), 5, "no read timed out");
}
