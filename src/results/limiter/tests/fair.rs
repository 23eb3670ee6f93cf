//! How clients share the permits of first reads.

use super::*;

fn client(name: &str) -> ClientKey {
    ClientKey::Name(name.into())
}

impl TestLimiter {
    /// Queues a first read for each of these clients, and records the first one's name.
    fn queue_for(&self, clients: &[&'static str]) -> tokio::task::JoinHandle<Duration> {
        let (limiter, grants, started, name) =
            (Arc::clone(&self.limiter), Arc::clone(&self.grants), self.started, clients[0]);
        let mut queued = limiter.queue_first_read(&clients.iter().map(|name| client(name)).collect::<Vec<_>>(), true);
        tokio::spawn(async move {
            if queued.granted().await.is_ok() {
                grants.lock().unwrap().push((name, started.elapsed()));
            }
            queued.since.elapsed()
        })
    }

    /// AWS knows none of the ids of this client.
    async fn make_hostile(&self, name: &'static str) {
        for _ in 0..100 {
            self.limiter.lock().first_reads.join(u64::MAX, &client(name));
            self.queue_for(&[name]).await.unwrap();
            self.limiter.lock().first_reads.record_read(&client(name), false);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn clients_take_turns_whatever_the_length_of_their_queues() {
    let test = TestLimiter::start(1.0);
    test.queue_for(&["burst"]).await.unwrap();
    for name in ["a", "a", "a", "a", "b", "b", "c"] {
        test.queue_for(&[name]);
    }
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(test.names(), ["burst", "a", "b", "c", "a", "b", "a", "a"]);
}

#[tokio::test(start_paused = true)]
async fn the_share_of_idle_clients_goes_to_the_others() {
    let test = TestLimiter::start(25.0);
    test.queue_for(&["idle"]).await.unwrap();
    for _ in 0..1_500 {
        test.queue_for(&["a"]);
    }
    tokio::time::sleep(Duration::from_secs(52)).await;
    let per_second = test.names().len() as f64 / 52.0;
    assert!(per_second >= 25.0 * 0.99, "{per_second}");
}

#[tokio::test(start_paused = true)]
async fn a_lone_client_can_use_the_whole_quota_at_once() {
    let test = TestLimiter::start(25.0);
    for _ in 0..24 {
        test.queue_for(&["a"]);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(test.names().len(), 24);
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_ids_are_unknown_gets_a_tenth_of_the_turns_of_another() {
    let test = TestLimiter::start(25.0);
    test.make_hostile("hostile").await;
    let before = test.names().len();
    for _ in 0..300 {
        test.queue_for(&["hostile"]);
        test.queue_for(&["good"]);
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    let names = test.names().split_off(before);
    for eleven in names[22..].chunks_exact(11) {
        let hostile = eleven.iter().filter(|name| **name == "hostile").count();
        assert!(hostile <= 3, "{names:?}");
    }
    let hostile = names.iter().filter(|name| **name == "hostile").count();
    assert!((names.len() / 14..=names.len() / 9).contains(&hostile), "{hostile} of {}", names.len());
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_ids_become_known_gets_its_share_back() {
    let test = TestLimiter::start(25.0);
    test.make_hostile("fixed").await;
    (0..100).for_each(|_| test.limiter.lock().first_reads.record_read(&client("fixed"), true));
    let before = test.names().len();
    for _ in 0..100 {
        test.queue_for(&["fixed"]);
        test.queue_for(&["good"]);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let names = test.names().split_off(before);
    let fixed = names.iter().filter(|name| **name == "fixed").count();
    // Its last read as an unknown client counts as ten.
    assert!(fixed.abs_diff(names.len() - fixed) <= 12, "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn first_reads_of_unknown_ids_leave_re_reads_most_of_the_quota() {
    let test = TestLimiter::start(25.0);
    test.make_hostile("hostile").await;
    let before = test.names().len();
    for _ in 0..300 {
        test.queue_for(&["hostile"]);
        test.queue("re-read", re_read(InProgress, 1));
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let names = test.names().split_off(before);
    let hostile = names.iter().filter(|name| **name == "hostile").count();
    assert!(hostile * 4 <= names.len(), "{hostile} of {}", names.len());
}

#[tokio::test(start_paused = true)]
async fn a_read_has_the_best_position_of_its_clients() {
    let test = TestLimiter::start(1.0);
    test.queue_for(&["burst"]).await.unwrap();
    for name in ["a", "a", "a"] {
        test.queue_for(&[name]);
    }
    test.queue_for(&["shared", "a", "b"]);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(test.names()[1..], ["a", "shared"]);
}

#[tokio::test(start_paused = true)]
async fn a_read_moves_when_a_client_with_a_better_position_joins_or_leaves() {
    for leaves in [false, true] {
        let test = TestLimiter::start(1.0);
        test.queue_for(&["burst"]).await.unwrap();
        (0..3).for_each(|_| drop(test.queue_for(&["a"])));
        let mut moved = test.limiter.queue_first_read(&[client("a")], true);
        let behind = test.limiter.lock().delay_of(moved.number, &client("a")).unwrap();
        test.limiter.join(moved.number, &client("b"));
        let ahead = test.limiter.lock().delay_of(moved.number, &client("b")).unwrap();
        assert!(behind >= ahead + Duration::from_secs(2), "{behind:?} and {ahead:?}");
        if leaves {
            test.limiter.leave(moved.number, &client("b"));
        }
        moved.granted().await.unwrap();
        assert_eq!(test.names().len() - 1, if leaves { 3 } else { 1 });
    }
}

#[tokio::test(start_paused = true)]
async fn clients_beyond_the_number_of_queues_share_one() {
    let test = TestLimiter::start(1.0);
    let queued: Vec<_> =
        (0..1_000).map(|number| test.limiter.queue_first_read(&[client(&number.to_string())], true)).collect();
    // 256 clients have a queue, and so do all others together.
    assert_eq!(test.limiter.lock().first_reads.queues(), 257);
    drop(queued);
    tokio::time::sleep(Duration::from_secs(61)).await;
    let _queued = test.limiter.queue_first_read(&[client("later")], true);
    assert_eq!(test.limiter.lock().first_reads.queues(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_displaces_the_last_read_of_the_longest_queue() {
    let test = TestLimiter::start(1.0);
    test.queue_for(&["burst"]).await.unwrap();
    let mut queued: Vec<_> = (0..3).map(|_| test.limiter.queue_first_read(&[client("a")], true)).collect();
    assert!(!test.limiter.displace(&client("a")), "its own queue is the longest");
    assert!(test.limiter.displace(&client("b")));
    let delay = queued[2].granted().await.expect_err("it is displaced");
    assert!((2..=3).contains(&delay.as_secs()), "{delay:?}");
    test.queue_for(&["b"]);
    assert!(!test.limiter.displace(&client("b")), "the queues are about as long");
    queued[1].granted().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_estimated_delay_is_that_of_the_clients_own_queue() {
    let test = TestLimiter::start(10.0);
    test.make_hostile("hostile").await;
    for _ in 0..40 {
        test.queue_for(&["hostile"]);
    }
    for _ in 0..3 {
        test.queue_for(&["good"]);
    }
    for name in ["new", "good", "hostile"] {
        let estimated = test.limiter.first_read_delay(&client(name));
        let waited = test.queue_for(&[name]).await.unwrap();
        let interval = Duration::from_millis(101);
        assert!(
            waited <= estimated + 2 * interval && estimated <= waited.mul_f64(1.4) + 2 * interval,
            "{name}: estimated {estimated:?}, waited {waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn below_its_share_a_client_waits_at_most_two_intervals() {
    // The others queue reads all the time, once a second, and after a pause of some seconds.
    for (rate, pause) in [(25.0, 40), (25.0, 1_000), (25.0, 4_100), (5.0, 40), (5.0, 1_000), (5.0, 7_300)] {
        let test = Arc::new(TestLimiter::start(rate));
        test.queue_for(&["good"]).await.unwrap();
        let other = Arc::clone(&test);
        let others = tokio::spawn(async move {
            loop {
                let missing = 60_usize.saturating_sub(other.limiter.waiting()[0]);
                (0..missing).for_each(|number| drop(other.queue_for(&[["x", "y"][number % 2]])));
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        });
        tokio::time::sleep(Duration::from_secs(3)).await;
        // Three clients: a third is its share.
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs_f64(3.7 / rate)).await;
            let waited = test.queue_for(&["good"]).await.unwrap();
            assert!(waited <= Duration::from_secs_f64(2.0 / rate), "{waited:?} at {rate} and {pause}");
        }
        others.abort();
    }
}
