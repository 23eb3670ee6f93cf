use super::{
    queues::{FLOOR, RECOVERY, burst},
    *,
};
use crate::{
    proto::LivenessStatus::{self, Created, InProgress},
    results::priority::ReReadPriority,
};
use proptest::prelude::*;

/// A limiter that hands out its tokens, and what it handed out to whom.
struct Bench {
    limiter: Arc<Limiter>,
    turns: Arc<Mutex<Vec<(&'static str, Duration)>>>,
    started: Instant,
}

impl Bench {
    fn start(rate: f64) -> Self {
        let limiter = Arc::new(Limiter::new(rate, None));
        let runs = Arc::clone(&limiter);
        tokio::spawn(async move { runs.run().await });
        Self { limiter, turns: Arc::default(), started: Instant::now() }
    }

    /// Somebody who wants a token, and when it got it.
    fn want(&self, who: &'static str, need: Priority) -> tokio::task::JoinHandle<()> {
        let (limiter, turns, started) = (Arc::clone(&self.limiter), Arc::clone(&self.turns), self.started);
        tokio::spawn(async move {
            limiter.queue(need).granted().await;
            turns.lock().unwrap().push((who, started.elapsed()));
        })
    }

    fn turns(&self) -> Vec<(&'static str, Duration)> {
        self.turns.lock().unwrap().clone()
    }

    fn names(&self) -> Vec<&'static str> {
        self.turns().into_iter().map(|(who, _)| who).collect()
    }
}

fn re_read(status: LivenessStatus, age: u64) -> Priority {
    Priority::ReRead(ReReadPriority::of(status, Instant::now() - Duration::from_secs(age)))
}

/// Lets all who are ready take their place.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept_after_a_burst_of_half_a_second() {
    let bench = Bench::start(25.0);
    for _ in 0..70 {
        bench.want("caller", Priority::FirstRead);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.turns().len(), 12);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.turns().len(), 37);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.turns().len(), 62);
}

#[tokio::test(start_paused = true)]
async fn first_reads_go_first_in_first_out() {
    let bench = Bench::start(1.0);
    bench.want("burst", Priority::FirstRead);
    for who in ["a", "b", "c", "d"] {
        bench.want(who, Priority::FirstRead);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.names(), ["burst", "a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn while_both_wait_three_tokens_of_four_go_to_first_reads() {
    let bench = Bench::start(1.0);
    bench.want("burst", Priority::FirstRead).await.unwrap();
    for _ in 0..12 {
        bench.want("first", Priority::FirstRead);
        bench.want("again", re_read(InProgress, 5));
    }
    tokio::time::sleep(Duration::from_secs(13)).await;
    let names = bench.names();
    for four in names[1..].chunks_exact(4) {
        assert_eq!(four.iter().filter(|who| **who == "first").count(), 3, "{names:?}");
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(bench.names().len(), 25, "nothing is lost");
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_re_read_goes_first() {
    let bench = Bench::start(1.0);
    bench.want("burst", Priority::FirstRead).await.unwrap();
    bench.want("created 10 s ago", re_read(Created, 10));
    bench.want("in progress 1 s ago", re_read(InProgress, 1));
    bench.want("in progress 3 s ago", re_read(InProgress, 3));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(bench.names(), ["burst", "in progress 3 s ago", "in progress 1 s ago", "created 10 s ago"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_far_from_its_end_is_not_starved_by_many_near_theirs() {
    let bench = Bench::start(5.0);
    let created = bench.want("created", re_read(Created, 0));
    let near = (0..20).map(|_| {
        let limiter = Arc::clone(&bench.limiter);
        tokio::spawn(async move {
            loop {
                limiter.queue(re_read(InProgress, 0)).granted().await;
            }
        })
    });
    let near: Vec<_> = near.collect();
    tokio::time::timeout(Duration::from_secs(60), created).await.expect("it has its turn").unwrap();
    near.into_iter().for_each(|task| task.abort());
}

#[tokio::test(start_paused = true)]
async fn a_capture_has_a_token_only_when_nobody_else_wants_one_and_the_burst_is_whole() {
    let bench = Bench::start(25.0);
    bench.want("caller", Priority::FirstRead).await.unwrap();
    for _ in 0..3 {
        bench.want("capture", Priority::Capture);
    }
    for _ in 0..10 {
        bench.want("caller", Priority::FirstRead);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let turns = bench.turns();
    assert_eq!(turns.len(), 14);
    let first_capture = turns.iter().position(|(who, _)| *who == "capture").expect("it has its turn");
    assert_eq!(first_capture, 11, "{turns:?}");
    let last_caller = turns[10].1;
    assert!(turns[11].1 >= last_caller + Duration::from_millis(190), "{turns:?}");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_takes_no_token() {
    let bench = Bench::start(1.0);
    bench.want("burst", Priority::FirstRead).await.unwrap();
    let leavers: Vec<_> = (0..10).map(|_| bench.want("leaver", Priority::FirstRead)).collect();
    bench.want("stayer", Priority::FirstRead);
    settle().await;
    leavers.iter().for_each(|task| task.abort());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(bench.names(), ["burst", "stayer"]);
    assert_eq!(bench.limiter.first_read_delay().as_millis() / 100, 9);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_gets_in_within_the_delay_told_and_not_much_sooner() {
    for (first_reads, re_reads) in [(0, 0), (1, 0), (40, 0), (40, 40), (0, 40)] {
        let bench = Bench::start(10.0);
        for _ in 0..first_reads {
            bench.want("first", Priority::FirstRead);
        }
        for _ in 0..re_reads {
            bench.want("again", re_read(InProgress, 5));
        }
        settle().await;
        let told = bench.limiter.first_read_delay();
        let asked = Instant::now();
        bench.want("newcomer", Priority::FirstRead).await.unwrap();
        let waited = asked.elapsed();
        let token = Duration::from_millis(101);
        assert!(
            waited <= told + token && told <= waited.mul_f64(4.0 / 3.0) + 2 * token,
            "told {told:?}, waited {waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_slows_down_for_everybody_and_once_for_those_under_way_together() {
    let limiter = Arc::new(Limiter::new(100.0, None));
    let runs = Arc::clone(&limiter);
    tokio::spawn(async move { runs.run().await });
    let mut permits = Vec::new();
    for _ in 0..10 {
        permits.push(limiter.queue(Priority::FirstRead).granted().await);
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    permits.iter().for_each(|permit| limiter.throttled(permit));
    assert_eq!(limiter.lock().rate, 80.0);
    let later = limiter.queue(Priority::FirstRead).granted().await;
    limiter.throttled(&later);
    assert!((60.0..70.0).contains(&limiter.lock().rate), "{}", limiter.lock().rate);
}

#[tokio::test(start_paused = true)]
async fn the_rate_never_falls_to_nothing_and_comes_back_by_itself() {
    let limiter = Arc::new(Limiter::new(25.0, None));
    let runs = Arc::clone(&limiter);
    tokio::spawn(async move { runs.run().await });
    for _ in 0..50 {
        let permit = limiter.queue(Priority::FirstRead).granted().await;
        limiter.throttled(&permit);
    }
    assert!(limiter.lock().rate >= 25.0 * FLOOR && limiter.lock().rate < 5.0, "{}", limiter.lock().rate);
    tokio::time::sleep(RECOVERY).await;
    limiter.queue(Priority::FirstRead).granted().await;
    assert_eq!(limiter.lock().rate, 25.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes and goes, no window of time sees more tokens than its share and one burst.
    #[test]
    fn no_window_has_more_tokens_than_rate_and_burst(
        rate in 1.0..50.0f64,
        arrivals in proptest::collection::vec((0u64..2_000, 0u8..3), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let turns = runtime.block_on(async {
            let bench = Bench::start(rate);
            let mut callers = Vec::new();
            for (after, kind) in arrivals {
                tokio::time::sleep(Duration::from_millis(after / 10)).await;
                callers.push(bench.want("caller", match kind {
                    0 => Priority::FirstRead,
                    1 => re_read(InProgress, 1),
                    _ => Priority::Capture,
                }));
            }
            for caller in callers {
                caller.await.unwrap();
            }
            bench.turns()
        });
        for (index, (_, from)) in turns.iter().enumerate() {
            let window = turns[index..].iter().take_while(|(_, at)| *at < *from + Duration::from_secs(1)).count();
            prop_assert!(window as f64 <= rate + burst(rate) + 1.0, "{window} tokens in a second at {rate}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_on_its_way_to_one_who_leaves_goes_to_the_next_at_once() {
    let bench = Bench::start(1.0);
    bench.want("burst", Priority::FirstRead).await.unwrap();
    let leaver = bench.limiter.queue(Priority::FirstRead);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    let next = bench.want("next", Priority::FirstRead);
    settle().await;
    drop(leaver);
    tokio::time::timeout(Duration::from_millis(10), next).await.expect("the token was granted and is saved").unwrap();
}

#[tokio::test(start_paused = true)]
async fn under_a_full_quota_reads_are_shared_in_proportion_to_the_weights() {
    let bench = Bench::start(10.0);
    let readers = [Created, InProgress].into_iter().flat_map(|status| [status; 20]).map(|status| {
        let limiter = Arc::clone(&bench.limiter);
        let turns = Arc::clone(&bench.turns);
        tokio::spawn(async move {
            let mut last_read = Instant::now();
            loop {
                limiter.queue(Priority::ReRead(ReReadPriority::of(status, last_read))).granted().await;
                last_read = Instant::now();
                turns.lock().unwrap().push((if status == Created { "created" } else { "in progress" }, Duration::ZERO));
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    tokio::time::sleep(Duration::from_secs(200)).await;
    readers.iter().for_each(|reader| reader.abort());
    let names = bench.names();
    let created = names.iter().filter(|who| **who == "created").count() as f64;
    let share = created / (names.len() as f64 - created);
    assert!((0.13..0.21).contains(&share), "{share}");
}

#[tokio::test(start_paused = true)]
async fn throttling_empties_the_burst() {
    let limiter = Arc::new(Limiter::new(10.0, None));
    let runs = Arc::clone(&limiter);
    tokio::spawn(async move { runs.run().await });
    let permit = limiter.queue(Priority::FirstRead).granted().await;
    limiter.throttled(&permit);
    let asked = Instant::now();
    limiter.queue(Priority::FirstRead).granted().await;
    assert!(asked.elapsed() >= Duration::from_millis(100), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_capture_has_its_token_though_the_rate_is_still_recovering() {
    let bench = Bench::start(25.0);
    let permit = bench.limiter.queue(Priority::FirstRead).granted().await;
    bench.limiter.throttled(&permit);
    let capture = bench.want("capture", Priority::Capture);
    tokio::time::timeout(Duration::from_secs(1), capture).await.expect("it has its turn").unwrap();
    assert!(bench.limiter.lock().rate < 25.0);
}
