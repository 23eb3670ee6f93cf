//! How many reads AWS sees in any second, if each arrives up to 30 ms after its permit.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MAX_JITTER: u64 = 30;

/// Returns the most arrivals in any sliding second.
fn most_in_a_second(mut arrivals: Vec<Duration>) -> usize {
    arrivals.sort();
    let in_second = |index: usize| arrivals[index..].iter().take_while(|at| **at < arrivals[index] + SECOND).count();
    (0..arrivals.len()).map(in_second).max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn after_an_idle_time_a_burst_of_first_reads_does_not_wait() {
    for (rate, at_once) in [(25.0, 24), (5.0, 4)] {
        let test = TestLimiter::start(rate);
        tokio::time::sleep(10 * SECOND).await;
        for _ in 0..2 * at_once {
            test.queue("caller", Priority::FirstRead);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(test.grants().len(), at_once, "at {rate}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(test.grants().len(), at_once + 1, "at {rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_burst_the_reads_that_wait_are_spread_over_half_a_window() {
    for (rate, window, spacing) in [(25, 26, 20), (5, 6, 100)] {
        let test = TestLimiter::start(f64::from(rate));
        for _ in 0..4 * rate {
            test.queue("caller", Priority::FirstRead);
        }
        tokio::time::sleep(5 * SECOND).await;
        let waited = test.grants().split_off(window);
        let least = waited.windows(2).map(|pair| pair[1].1 - pair[0].1).min().expect("the reads are granted");
        assert!(least >= Duration::from_millis(spacing - 1), "{least:?} at {rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_saturated_limiter_grants_the_whole_rate() {
    for (rate, priority) in [(25.0, Priority::FirstRead), (5.0, Priority::FirstRead), (25.0, re_read(InProgress, 1))] {
        let test = TestLimiter::start(rate);
        for _ in 0..(100.0 * rate) as usize {
            test.queue("caller", priority);
        }
        tokio::time::sleep(52 * SECOND).await;
        let per_second = test.grants().len() as f64 / 52.0;
        assert!(per_second >= rate * 0.999, "{per_second} at {rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn re_reads_that_use_up_the_quota_do_not_delay_a_first_read_by_a_second() {
    let test = TestLimiter::start(25.0);
    for _ in 0..200 {
        test.queue("re-read", re_read(InProgress, 1));
    }
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(217)).await;
        let queued_at = Instant::now();
        test.queue("first", Priority::FirstRead).await.unwrap();
        assert!(queued_at.elapsed() <= Duration::from_millis(250), "{:?}", queued_at.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// For any arrivals, pauses and throttling, with the shares of any number of replicas, all of
    /// which have the same arrivals.
    #[test]
    fn aws_sees_at_most_one_read_more_than_the_quota_in_any_second(
        quota in prop_oneof![Just(5.0), Just(25.0), 1.0..60.0f64],
        replicas in 1u32..5,
        arrivals in proptest::collection::vec((0u64..400, 0u8..40, 0u8..16), 1..60),
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let permits = runtime.block_on(async {
            let limiter = Arc::new(Limiter::new(quota, replicas, None));
            let running = Arc::clone(&limiter);
            tokio::spawn(async move { running.run().await });
            let (started, mut callers) = (Instant::now(), tokio::task::JoinSet::new());
            for (pause, reads, kind) in arrivals {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                for _ in 0..reads {
                    let mut queued = limiter.queue(match kind % 4 {
                        0 | 1 => Priority::FirstRead,
                        2 => re_read(InProgress, 1),
                        _ => Priority::NotFound,
                    });
                    let limiter = Arc::clone(&limiter);
                    callers.spawn(async move {
                        let permit = queued.granted().await.unwrap();
                        match kind {
                            14 => limiter.throttled(&permit),
                            15 => {
                                limiter.pass_on(&permit);
                                return None;
                            }
                            _ => {}
                        }
                        Some(started.elapsed())
                    });
                }
            }
            callers.join_all().await.into_iter().flatten().collect::<Vec<_>>()
        });
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut jitter = || Duration::from_millis(rng.u64(0..=MAX_JITTER));
        let arrivals = (0..replicas).flat_map(|_| &permits).map(|at| *at + jitter()).collect();
        let most = most_in_a_second(arrivals);
        prop_assert!(most as f64 <= (quota + 1.0).max(replicas.into()), "{most} reads in a second at {quota} of {replicas}");
    }
}
