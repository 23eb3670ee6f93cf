use super::{
    permits::{FLOOR, RECOVERY},
    *,
};
use crate::{
    proto::LivenessStatus::{self, Created, InProgress},
    results::priority::ReReadPriority,
};
use proptest::prelude::*;

mod fair;
mod sliding_second;

/// A running limiter, and the permits that it granted.
struct TestLimiter {
    limiter: Arc<Limiter>,
    grants: Arc<Mutex<Vec<(&'static str, Duration)>>>,
    started: Instant,
}

impl TestLimiter {
    fn start(rate: f64) -> Self {
        let limiter = Arc::new(Limiter::new(rate, 1, None));
        let running = Arc::clone(&limiter);
        tokio::spawn(async move { running.run().await });
        Self { limiter, grants: Arc::default(), started: Instant::now() }
    }

    /// Queues a read, and records its name and the time when it is granted.
    fn queue(&self, name: &'static str, priority: Priority) -> tokio::task::JoinHandle<()> {
        let (limiter, grants, started) = (Arc::clone(&self.limiter), Arc::clone(&self.grants), self.started);
        tokio::spawn(async move {
            limiter.queue(priority).granted().await.unwrap();
            grants.lock().unwrap().push((name, started.elapsed()));
        })
    }

    fn grants(&self) -> Vec<(&'static str, Duration)> {
        self.grants.lock().unwrap().clone()
    }

    fn names(&self) -> Vec<&'static str> {
        self.grants().into_iter().map(|(name, _)| name).collect()
    }
}

fn re_read(status: LivenessStatus, age: u64) -> Priority {
    Priority::ReRead(ReReadPriority::of(status, Instant::now() - Duration::from_secs(age)))
}

/// Lets all spawned tasks run until they wait.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn first_reads_are_granted_first_in_first_out() {
    let test = TestLimiter::start(1.0);
    test.queue("burst", Priority::FirstRead);
    for name in ["a", "b", "c", "d"] {
        test.queue(name, Priority::FirstRead);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(test.names(), ["burst", "a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn first_reads_get_three_permits_of_four_while_re_reads_wait() {
    let test = TestLimiter::start(1.0);
    test.queue("burst", Priority::FirstRead).await.unwrap();
    for _ in 0..12 {
        test.queue("first", Priority::FirstRead);
        test.queue("re-read", re_read(InProgress, 5));
    }
    tokio::time::sleep(Duration::from_secs(13)).await;
    let names = test.names();
    for four in names[1..].chunks_exact(4) {
        assert_eq!(four.iter().filter(|name| **name == "first").count(), 3, "{names:?}");
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(test.names().len(), 25, "every read is granted");
}

#[tokio::test(start_paused = true)]
async fn re_reads_are_granted_by_priority() {
    let test = TestLimiter::start(1.0);
    test.queue("burst", Priority::FirstRead).await.unwrap();
    test.queue("created 10 s ago", re_read(Created, 10));
    test.queue("in progress 1 s ago", re_read(InProgress, 1));
    test.queue("in progress 3 s ago", re_read(InProgress, 3));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(test.names(), ["burst", "in progress 3 s ago", "in progress 1 s ago", "created 10 s ago"]);
}

#[tokio::test(start_paused = true)]
async fn created_sessions_are_not_starved_by_sessions_in_progress() {
    let test = TestLimiter::start(5.0);
    let created = test.queue("created", re_read(Created, 0));
    let in_progress = (0..20).map(|_| {
        let limiter = Arc::clone(&test.limiter);
        tokio::spawn(async move {
            loop {
                limiter.queue(re_read(InProgress, 0)).granted().await.unwrap();
            }
        })
    });
    let in_progress: Vec<_> = in_progress.collect();
    tokio::time::timeout(Duration::from_secs(60), created).await.expect("it is granted").unwrap();
    in_progress.into_iter().for_each(|task| task.abort());
}

#[tokio::test(start_paused = true)]
async fn a_capture_gets_a_permit_only_if_no_other_read_waits_and_half_of_the_quota_is_unused() {
    let test = TestLimiter::start(25.0);
    for _ in 0..3 {
        test.queue("capture", Priority::Capture);
    }
    for _ in 0..20 {
        test.queue("caller", Priority::FirstRead);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let grants = test.grants();
    assert_eq!(grants.len(), 23);
    let first_capture = grants.iter().position(|(name, _)| *name == "capture").expect("it is granted");
    assert_eq!(first_capture, 20, "{grants:?}");
    assert!(grants[20].1 >= grants[7].1 + Duration::from_secs(1), "{grants:?}");
    assert!(grants[22].1 <= grants[20].1 + Duration::from_millis(82), "{grants:?}");
}

#[tokio::test(start_paused = true)]
async fn unknown_ids_get_one_permit_of_ten_while_others_wait() {
    for others in [Priority::FirstRead, re_read(InProgress, 1)] {
        let test = TestLimiter::start(25.0);
        for _ in 0..300 {
            test.queue("unknown", Priority::NotFound);
            test.queue("other", others);
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        let names = test.names();
        for ten in names[30..].chunks_exact(10) {
            assert_eq!(ten.iter().filter(|name| **name == "unknown").count(), 1, "{names:?}");
        }
        assert!(names.len() > 240, "{}", names.len());
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_ids_leave_half_of_an_idle_quota_to_others() {
    let test = TestLimiter::start(25.0);
    for _ in 0..300 {
        test.queue("unknown", Priority::NotFound);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!((110..=140).contains(&test.names().len()), "{}", test.names().len());
    let queued_at = Instant::now();
    for reads in [(); 12].map(|()| test.queue("first", Priority::FirstRead)) {
        reads.await.unwrap();
    }
    assert_eq!(queued_at.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn reads_that_leave_the_queue_use_no_permit() {
    let test = TestLimiter::start(1.0);
    test.queue("burst", Priority::FirstRead).await.unwrap();
    let dropped: Vec<_> = (0..10).map(|_| test.queue("dropped", Priority::FirstRead)).collect();
    test.queue("kept", Priority::FirstRead);
    settle().await;
    dropped.iter().for_each(|task| task.abort());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(test.names(), ["burst", "kept"]);
    assert_eq!(test.limiter.first_read_delay(&ClientKey::Others).as_millis() / 100, 9);
}

#[tokio::test(start_paused = true)]
async fn a_first_read_waits_about_as_long_as_estimated() {
    for (first_reads, re_reads) in [(0, 0), (1, 0), (40, 0), (40, 40), (0, 40)] {
        let test = TestLimiter::start(10.0);
        for _ in 0..first_reads {
            test.queue("first", Priority::FirstRead);
        }
        for _ in 0..re_reads {
            test.queue("re-read", re_read(InProgress, 5));
        }
        settle().await;
        let estimated = test.limiter.first_read_delay(&ClientKey::Others);
        let queued_at = Instant::now();
        test.queue("new", Priority::FirstRead).await.unwrap();
        let waited = queued_at.elapsed();
        let interval = Duration::from_millis(101);
        assert!(
            waited <= estimated + interval && estimated <= waited.mul_f64(4.0 / 3.0) + 2 * interval,
            "estimated {estimated:?}, waited {waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_of_concurrent_attempts_decreases_the_rate_once() {
    let limiter = Arc::new(Limiter::new(100.0, 1, None));
    let running = Arc::clone(&limiter);
    tokio::spawn(async move { running.run().await });
    let mut permits = Vec::new();
    for _ in 0..10 {
        permits.push(limiter.queue(Priority::FirstRead).granted().await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    permits.iter().for_each(|permit| limiter.throttled(permit));
    assert_eq!(limiter.lock().own.rate, 80.0);
    let later = limiter.queue(Priority::FirstRead).granted().await.unwrap();
    limiter.throttled(&later);
    assert!((60.0..70.0).contains(&limiter.lock().own.rate), "{}", limiter.lock().own.rate);
}

#[tokio::test(start_paused = true)]
async fn the_rate_has_a_floor_and_recovers_without_reads() {
    let limiter = Arc::new(Limiter::new(25.0, 1, None));
    let running = Arc::clone(&limiter);
    tokio::spawn(async move { running.run().await });
    for _ in 0..50 {
        let permit = limiter.queue(Priority::FirstRead).granted().await.unwrap();
        limiter.throttled(&permit);
    }
    assert!(limiter.lock().own.rate >= 25.0 * FLOOR && limiter.lock().own.rate < 5.0, "{}", limiter.lock().own.rate);
    tokio::time::sleep(RECOVERY).await;
    limiter.queue(Priority::FirstRead).granted().await.unwrap();
    assert_eq!(limiter.lock().own.rate, 25.0);
}

#[tokio::test(start_paused = true)]
async fn a_granted_permit_of_a_dropped_read_goes_to_the_next_read_at_once() {
    let test = TestLimiter::start(1.0);
    test.queue("burst", Priority::FirstRead).await.unwrap();
    let dropped = test.limiter.queue(Priority::FirstRead);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    let next = test.queue("next", Priority::FirstRead);
    settle().await;
    drop(dropped);
    tokio::time::timeout(Duration::from_millis(10), next).await.expect("the permit is granted again").unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_quota_is_shared_in_proportion_to_the_weights() {
    let test = TestLimiter::start(10.0);
    let readers = [Created, InProgress].into_iter().flat_map(|status| [status; 20]).map(|status| {
        let limiter = Arc::clone(&test.limiter);
        let grants = Arc::clone(&test.grants);
        tokio::spawn(async move {
            let mut last_read = Instant::now();
            loop {
                limiter.queue(Priority::ReRead(ReReadPriority::of(status, last_read))).granted().await.unwrap();
                last_read = Instant::now();
                grants
                    .lock()
                    .unwrap()
                    .push((if status == Created { "created" } else { "in progress" }, Duration::ZERO));
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    tokio::time::sleep(Duration::from_secs(200)).await;
    readers.iter().for_each(|reader| reader.abort());
    let names = test.names();
    let created = names.iter().filter(|name| **name == "created").count() as f64;
    let share = created / (names.len() as f64 - created);
    assert!((0.13..0.21).contains(&share), "{share}");
}

#[tokio::test(start_paused = true)]
async fn throttling_empties_the_burst() {
    let limiter = Arc::new(Limiter::new(10.0, 1, None));
    let running = Arc::clone(&limiter);
    tokio::spawn(async move { running.run().await });
    let permit = limiter.queue(Priority::FirstRead).granted().await.unwrap();
    limiter.throttled(&permit);
    let queued_at = Instant::now();
    limiter.queue(Priority::FirstRead).granted().await.unwrap();
    assert!(queued_at.elapsed() >= Duration::from_millis(100), "{:?}", queued_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_capture_gets_a_permit_while_the_rate_recovers() {
    let test = TestLimiter::start(25.0);
    let permit = test.limiter.queue(Priority::FirstRead).granted().await.unwrap();
    test.limiter.throttled(&permit);
    let capture = test.queue("capture", Priority::Capture);
    tokio::time::timeout(Duration::from_secs(1), capture).await.expect("it is granted").unwrap();
    assert!(test.limiter.lock().own.rate < 25.0);
}
