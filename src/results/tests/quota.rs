//! What callers get when the quota is used up.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_known_session_returns_its_last_status_when_the_quota_is_used_up() {
    let settings = ReaderSettings { rate: Some(1.0), ..SETTINGS };
    let fixture = Fixture::with(settings, simulator::Config::default());
    fixture.freeze(1, Status::InProgress);
    fixture.get(1, MINUTE).await.expect("a status");
    for number in 2..40 {
        fixture.freeze(number, Status::InProgress);
        fixture.wait(number, 50);
    }
    tokio::time::sleep(2 * SECOND).await;
    for _ in 0..10 {
        let started = Instant::now();
        fixture.get(1, MINUTE).await.expect("the last status");
        assert!(started.elapsed() <= FRESH_STATUS_WAIT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_read_that_would_miss_its_deadline_is_rejected_with_the_queue_delay() {
    let settings = ReaderSettings { rate: Some(1.0), ..SETTINGS };
    let fixture = Fixture::with(settings, simulator::Config::default());
    for number in 1..=20 {
        fixture.freeze(number, Status::Created);
        fixture.wait(number, 50);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let started = Instant::now();
    let error = fixture.get(99, 5 * SECOND).await.map(drop).expect_err("the quota is used up");
    assert_eq!((error.reason, started.elapsed()), (Reason::QuotaExhausted, Duration::ZERO));
    let delay = error.retry_delay().expect("a retry delay");
    assert!((19..=27).contains(&delay.as_secs()), "{delay:?}");
    tokio::time::sleep(delay).await;
    fixture.freeze(99, Status::Created);
    fixture.get(99, 5 * SECOND).await.expect("a permit after the delay");
}

#[tokio::test(start_paused = true)]
async fn a_second_caller_gets_the_estimate_of_its_own_time() {
    let settings = ReaderSettings { rate: Some(0.1), ..SETTINGS };
    let fixture = Fixture::with(settings, simulator::Config::default());
    let callers: Vec<_> = (1..=3).map(|number| fixture.wait(number, 50)).collect();
    tokio::task::yield_now().await;
    fixture.freeze(99, Status::Created);
    let first = fixture.wait(99, 50);
    tokio::time::sleep(SECOND).await;
    let too_early = fixture.get(99, 15 * SECOND).await.map(drop).expect_err("its read is due in 29 s");
    assert_eq!(too_early.reason, Reason::QuotaExhausted);
    // The others hang up, and their polls end after the grace period.
    callers.iter().for_each(JoinHandle::abort);
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(status(&fixture.get(99, 15 * SECOND).await), Ok(LivenessStatus::Created), "its read is due in 6 s");
    first.abort();
}

#[tokio::test(start_paused = true)]
async fn unknown_ids_do_not_delay_real_sessions() {
    let settings = ReaderSettings { rate: Some(5.0), ..SETTINGS };
    let fixture = Fixture::with(
        settings,
        simulator::Config { latency: Duration::from_millis(30), quota_tps: 5, ..Default::default() },
    );
    let unknown: Vec<_> = (100..150)
        .map(|number| {
            let results = fixture.results.clone();
            tokio::spawn(async move {
                loop {
                    let budget = WaitBudget { wait_until: None, respond_by: Instant::now() + 30 * SECOND };
                    results
                        .get(id(number), &ClientKey::Others, ImageSet::NONE, budget)
                        .await
                        .map(drop)
                        .expect_err("it does not exist");
                    tokio::time::sleep(SECOND / 2).await;
                }
            })
        })
        .collect();
    // The first read of an unknown id has the priority of a first read, once.
    tokio::time::sleep(20 * SECOND).await;
    for number in 0..20 {
        fixture.place(number, SUCCEEDED);
    }
    let callers: Vec<_> = (0..20).map(|number| fixture.wait(number, 50)).collect();
    for caller in callers {
        let (response, waited) = caller.await.unwrap();
        assert_eq!(status(&response), Ok(LivenessStatus::Succeeded));
        assert!(waited < 12 * SECOND, "{waited:?}");
    }
    assert_eq!(fixture.simulator.throttled(), 0);
    unknown.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_first_reads_is_served_up_to_the_quota_and_rejected_beyond_it() {
    let fixture = Fixture::with(ReaderSettings { rate: Some(1.0), ..SETTINGS }, simulator::Config::default());
    let callers: Vec<_> = (0..100)
        .map(|number| {
            fixture.freeze(number, Status::Created);
            let results = fixture.results.clone();
            tokio::spawn(async move {
                let started = Instant::now();
                let budget = WaitBudget { wait_until: None, respond_by: started + 3 * SECOND };
                (results.get(id(number), &ClientKey::Others, ImageSet::NONE, budget).await, started.elapsed())
            })
        })
        .collect();
    let mut served = 0;
    for caller in callers {
        match caller.await.unwrap() {
            (Ok(_), _) => served += 1,
            (Err(error), waited) => assert_eq!((error.reason, waited), (Reason::QuotaExhausted, Duration::ZERO)),
        }
    }
    assert!((2..=4).contains(&served), "{served}");
}

#[tokio::test(start_paused = true)]
async fn a_not_found_id_gets_not_found_again_when_the_quota_is_used_up() {
    let fixture = Fixture::with(ReaderSettings { rate: Some(1.0), ..SETTINGS }, simulator::Config::default());
    assert_eq!(status(&fixture.get(1, MINUTE).await), Err(Reason::SessionNotFound));
    tokio::time::sleep(3 * SECOND).await;
    for number in 2..40 {
        fixture.freeze(number, Status::InProgress);
        fixture.wait(number, 50);
    }
    tokio::time::sleep(SECOND / 10).await;
    let started = Instant::now();
    // A first read would be rejected.
    assert_eq!(status(&fixture.get(1, 10 * SECOND).await), Err(Reason::SessionNotFound));
    assert!(started.elapsed() <= FRESH_STATUS_WAIT);
    let (response, waited) = fixture.wait(1, 5).await.unwrap();
    assert_eq!((status(&response), waited.as_secs()), (Err(Reason::SessionNotFound), 5));
}

#[tokio::test(start_paused = true)]
async fn new_sessions_are_rejected_as_overloaded_beyond_ten_thousand_polls() {
    let fixture = Fixture::with(ReaderSettings { rate: None, ..SETTINGS }, simulator::Config::default());
    fixture.simulator.script(Fault::new(FaultKind::Hang));
    let callers: Vec<_> = (0..10_000).map(|number| fixture.wait(number, 3)).collect();
    tokio::time::sleep(SECOND).await;
    assert_eq!(status(&fixture.get(10_000, SECOND).await), Err(Reason::Overloaded));
    callers.iter().for_each(JoinHandle::abort);
}
