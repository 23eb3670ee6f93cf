//! Polls on a clock that stands still until all wait: the real SDK, and the simulator behind it in
//! the same process.
#![cfg(feature = "simulator")]

use super::*;
use crate::{
    proto::LivenessStatus,
    simulator::{self, Fault, FaultKind, Pace, Session, Simulator, Status},
};
use tokio::task::JoinHandle;

struct Bench {
    simulator: Simulator,
    results: SessionReader,
}

const SETTINGS: ReaderSettings = ReaderSettings {
    limits: CacheLimits {
        result_ttl: Duration::from_secs(3600),
        result_entries: 1000,
        image_ttl: Duration::from_secs(300),
        image_bytes: 1 << 24,
        images: ImageSet::ALL,
        not_found_ttl: Duration::from_secs(2),
    },
    pending_ttl: Duration::from_millis(500),
    capture: true,
    rate: Some(25.0),
    replicas: 1,
};

impl Bench {
    fn start() -> Self {
        Self::with(SETTINGS, simulator::Config { latency: Duration::from_millis(30), ..Default::default() })
    }

    fn with(settings: ReaderSettings, config: simulator::Config) -> Self {
        let simulator = Simulator::new(config);
        let rekognition = Rekognition::in_process(&simulator, Duration::from_secs(5));
        let registry = Registry::default();
        let results = SessionReader::new(rekognition, settings, None, &registry, Arc::new(SessionRefKey::random()));
        let mut tasks = Tasks::default();
        results.spawn_tasks(&mut tasks);
        tokio::spawn(async move { tasks.failure().await });
        Self { simulator, results }
    }

    /// A session that is IN_PROGRESS after a second, and ends after another.
    fn place(&self, number: u32, outcome: simulator::Outcome) {
        let second = Some(Duration::from_secs(1));
        let images = simulator::ImageStore::None;
        self.simulator.place(Session {
            outcome,
            images,
            created_for: second,
            in_progress_for: second,
            ..Session::new(text(number))
        });
    }

    fn freeze(&self, number: u32, status: Status) {
        let images = simulator::ImageStore::None;
        self.simulator.place(Session { pace: Pace::Frozen(status), images, ..Session::new(text(number)) });
    }

    fn reads(&self, number: u32) -> u64 {
        self.simulator.reads_of(&text(number))
    }

    /// A caller who waits at most so long, and has a deadline long after.
    fn wait(&self, number: u32, seconds: u64) -> JoinHandle<(Result<SessionResponse, Error>, Duration)> {
        let results = self.results.clone();
        tokio::spawn(async move {
            let asked = Instant::now();
            let wait_until = Some(asked + Duration::from_secs(seconds));
            let budget = WaitBudget { wait_until, respond_by: asked + Duration::from_secs(seconds + 30) };
            (results.get(id(number), ImageSet::NONE, budget).await, asked.elapsed())
        })
    }

    /// A caller who wants the state now, within a deadline.
    async fn ask(&self, number: u32, deadline: Duration) -> Result<SessionResponse, Error> {
        let budget = WaitBudget { wait_until: None, respond_by: Instant::now() + deadline };
        self.results.get(id(number), ImageSet::NONE, budget).await
    }
}

fn text(number: u32) -> String {
    format!("0123abcd-0000-4000-8000-{number:012x}")
}

fn id(number: u32) -> SessionId {
    SessionId::parse(&text(number)).expect("a valid id")
}

fn status(answer: &Result<SessionResponse, Error>) -> Result<LivenessStatus, Reason> {
    answer.as_ref().map(|answer| answer.result.message.status()).map_err(|error| error.reason)
}

fn error(code: &str, status: u16) -> FaultKind {
    FaultKind::Error { code: code.into(), status, message: None }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const SUCCEEDED: simulator::Outcome = simulator::Outcome::Succeeded { confidence: Some(99.0) };

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_a_session_have_its_end_at_the_same_moment_from_one_poll() {
    let bench = Bench::start();
    bench.place(1, SUCCEEDED);
    let mut callers = Vec::new();
    for _ in 0..50 {
        callers.push(bench.wait(1, 20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let asked = Instant::now();
    let mut ends = Vec::new();
    for caller in callers {
        let (answer, _) = caller.await.unwrap();
        ends.push((status(&answer), answer.unwrap().result.read_at));
        assert!(asked.elapsed() < Duration::from_secs(3));
    }
    ends.dedup();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].0, Ok(LivenessStatus::Succeeded));
    // A read now and every half a second and 30 ms, for two seconds.
    assert!((4..=5).contains(&bench.reads(1)), "{}", bench.reads(1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_runs_out_is_answered_with_the_latest_state() {
    let bench = Bench::start();
    bench.freeze(1, Status::Created);
    let (answer, waited) = bench.wait(1, 10).await.unwrap();
    assert_eq!(status(&answer), Ok(LivenessStatus::Created));
    assert_eq!(waited.as_secs(), 10);
    assert!(answer.unwrap().result.read_at.elapsed() < SECOND, "a state of the last second");
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_callers_deadline_when_that_is_sooner() {
    let bench = Bench::start();
    bench.freeze(1, Status::InProgress);
    let asked = Instant::now();
    let budget = WaitBudget { wait_until: Some(asked + MINUTE), respond_by: asked + 3 * SECOND };
    let answer = bench.results.get(id(1), ImageSet::NONE, budget).await;
    assert_eq!(status(&answer), Ok(LivenessStatus::InProgress));
    assert_eq!(asked.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_session_ends_the_wait() {
    let bench = Bench::start();
    bench.place(1, SUCCEEDED);
    bench.place(2, simulator::Outcome::Failed);
    bench.place(3, simulator::Outcome::Expired);
    let callers = [1, 2, 3].map(|number| bench.wait(number, 30));
    for (caller, expected) in
        callers.into_iter().zip([LivenessStatus::Succeeded, LivenessStatus::Failed, LivenessStatus::Expired])
    {
        assert_eq!(status(&caller.await.unwrap().0), Ok(expected));
    }
    assert_eq!(bench.results.polls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_vanishes_while_it_is_awaited_is_gone_for_all_at_once() {
    let bench = Bench::start();
    bench.freeze(1, Status::InProgress);
    let callers = [(); 5].map(|()| bench.wait(1, 30));
    tokio::time::sleep(3 * SECOND).await;
    bench.simulator.script(Fault::new(error("SessionNotFoundException", 400)));
    for caller in callers {
        let (answer, waited) = caller.await.unwrap();
        assert_eq!(status(&answer), Err(Reason::SessionGone));
        assert_eq!(waited.as_secs(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_leave_cost_the_others_nothing() {
    let bench = Bench::start();
    bench.place(1, SUCCEEDED);
    let leavers = [(); 5].map(|()| bench.wait(1, 30));
    tokio::time::sleep(SECOND / 2).await;
    let stayer = bench.wait(1, 30);
    tokio::time::sleep(SECOND / 10).await;
    leavers.iter().for_each(JoinHandle::abort);
    assert_eq!(status(&stayer.await.unwrap().0), Ok(LivenessStatus::Succeeded));
    assert!(bench.reads(1) <= 5, "{}", bench.reads(1));
}

#[tokio::test(start_paused = true)]
async fn pollers_share_reads_and_see_a_state_that_is_half_a_second_old_at_most() {
    let bench = Bench::start();
    bench.freeze(1, Status::InProgress);
    for _ in 0..100 {
        let asked = Instant::now();
        let answer = bench.ask(1, MINUTE).await.expect("a state");
        assert!(asked.duration_since(answer.result.read_at) <= Duration::from_millis(530));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Ten seconds and a bit at a read every half a second, whatever the number of calls.
    assert!((18..=24).contains(&bench.reads(1)), "{}", bench.reads(1));
}

#[tokio::test(start_paused = true)]
async fn a_poller_of_a_known_session_has_its_last_state_when_there_is_no_room_for_a_read() {
    let settings = ReaderSettings { rate: Some(1.0), ..SETTINGS };
    let bench = Bench::with(settings, simulator::Config::default());
    bench.freeze(1, Status::InProgress);
    bench.ask(1, MINUTE).await.expect("a state");
    for number in 2..40 {
        bench.freeze(number, Status::InProgress);
        bench.wait(number, 50);
    }
    tokio::time::sleep(2 * SECOND).await;
    for _ in 0..10 {
        let asked = Instant::now();
        bench.ask(1, MINUTE).await.expect("the last state");
        assert!(asked.elapsed() <= FRESH_STATE_WAIT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_read_that_has_no_turn_before_the_deadline_is_refused_at_once_with_the_queues_length() {
    let settings = ReaderSettings { rate: Some(1.0), ..SETTINGS };
    let bench = Bench::with(settings, simulator::Config::default());
    for number in 1..=20 {
        bench.freeze(number, Status::Created);
        bench.wait(number, 50);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let asked = Instant::now();
    let refusal = bench.ask(99, 5 * SECOND).await.map(drop).expect_err("no room");
    assert_eq!((refusal.reason, asked.elapsed()), (Reason::QuotaExhausted, Duration::ZERO));
    let delay = refusal.retry_delay().expect("it says when to come back");
    assert!((19..=27).contains(&delay.as_secs()), "{delay:?}");
    tokio::time::sleep(delay).await;
    bench.freeze(99, Status::Created);
    bench.ask(99, 5 * SECOND).await.expect("who waits that long gets in");
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_session_is_captured_and_answered_from_memory_when_aws_has_forgotten_it() {
    let bench = Bench::start();
    let created_for = Some(Duration::from_secs(170));
    bench.simulator.place(Session { created_for, in_progress_for: Some(5 * SECOND), ..Session::new(text(1)) });
    let first = bench.ask(1, MINUTE).await;
    assert_eq!(status(&first), Ok(LivenessStatus::Created));
    tokio::time::sleep(5 * MINUTE).await;
    let reads = bench.reads(1);
    let late = bench.ask(1, MINUTE).await;
    assert_eq!(status(&late), Ok(LivenessStatus::Succeeded));
    assert_eq!(bench.reads(1), reads, "from memory");
    assert!(reads < 50, "{reads} reads for a session that nobody waited for");
    assert_eq!(bench.results.polls(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_capture_a_poll_ends_when_nobody_is_interested() {
    let bench = Bench::with(ReaderSettings { capture: false, ..SETTINGS }, simulator::Config::default());
    bench.freeze(1, Status::Created);
    bench.ask(1, MINUTE).await.expect("a state");
    assert_eq!(bench.results.polls(), 1);
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(bench.results.polls(), 0);
    let reads = bench.reads(1);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(bench.reads(1), reads);
}

#[tokio::test(start_paused = true)]
async fn a_capture_ends_after_three_minutes_whatever_aws_says() {
    let bench = Bench::start();
    bench.freeze(1, Status::Created);
    bench.ask(1, MINUTE).await.expect("a state");
    tokio::time::sleep(4 * MINUTE).await;
    assert_eq!(bench.results.polls(), 0);
    assert!((30..=40).contains(&bench.reads(1)), "{}", bench.reads(1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_survives_an_aws_that_is_throttled_unavailable_or_silent() {
    for kind in [error("ThrottlingException", 400), error("InternalServerError", 500), FaultKind::Hang] {
        let bench = Bench::start();
        bench.place(1, SUCCEEDED);
        bench.simulator.script(Fault::new(kind));
        let caller = bench.wait(1, 50);
        tokio::time::sleep(20 * SECOND).await;
        bench.simulator.clear_faults();
        let (answer, waited) = caller.await.unwrap();
        assert_eq!(status(&answer), Ok(LivenessStatus::Succeeded));
        assert!(waited < Duration::from_secs(40), "{waited:?}");
        assert!(bench.reads(1) < 60, "no storm: {} reads", bench.reads(1));
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_error_answers_all_who_wait_at_once() {
    let bench = Bench::start();
    bench.freeze(1, Status::InProgress);
    let callers = [(); 5].map(|()| bench.wait(1, 30));
    tokio::time::sleep(3 * SECOND).await;
    bench.simulator.script(Fault::new(error("AccessDeniedException", 400)));
    for caller in callers {
        let (answer, waited) = caller.await.unwrap();
        assert_eq!((status(&answer), waited.as_secs()), (Err(Reason::UpstreamAccessDenied), 3));
    }
    tokio::time::sleep(4 * MINUTE).await;
    assert_eq!(bench.results.polls(), 0);
}

#[tokio::test(start_paused = true)]
async fn throttled_callers_are_held_while_their_deadlines_allow() {
    let bench = Bench::start();
    bench.freeze(1, Status::InProgress);
    bench.simulator.script(Fault { times: Some(8), ..Fault::new(error("ThrottlingException", 400)) });
    let answer = bench.ask(1, MINUTE).await;
    assert_eq!(status(&answer), Ok(LivenessStatus::InProgress));
    assert_eq!(bench.reads(1), 9);

    bench.simulator.script(Fault::new(error("ThrottlingException", 400)));
    let asked = Instant::now();
    let answer = bench.ask(2, 5 * SECOND).await;
    assert_eq!((status(&answer), asked.elapsed()), (Err(Reason::UpstreamThrottled), 5 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn without_a_limiter_throttling_is_answered_after_three_attempts() {
    let bench = Bench::with(ReaderSettings { rate: None, ..SETTINGS }, simulator::Config::default());
    bench.simulator.script(Fault::new(error("ThrottlingException", 400)));
    let answer = bench.ask(1, MINUTE).await;
    assert_eq!((status(&answer), bench.reads(1)), (Err(Reason::UpstreamThrottled), 3));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_may_pass_is_answered_without_a_read_until_its_delay_is_over() {
    let bench = Bench::start();
    bench.simulator.script(Fault::new(error("ServiceUnavailable", 503)));
    let answer = bench.ask(1, MINUTE).await;
    assert_eq!((status(&answer), bench.reads(1)), (Err(Reason::UpstreamUnavailable), 3));
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(status(&bench.ask(1, MINUTE).await), Err(Reason::UpstreamUnavailable));
        assert_eq!(asked.elapsed(), Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bench.reads(1), 3);
}

#[tokio::test(start_paused = true)]
async fn a_known_session_keeps_its_state_through_a_failing_aws() {
    let bench = Bench::start();
    bench.freeze(1, Status::InProgress);
    let first = bench.ask(1, MINUTE).await.expect("a state");
    for kind in
        [error("ServiceUnavailable", 503), error("ThrottlingException", 400), error("AccessDeniedException", 400)]
    {
        bench.simulator.script(Fault::new(kind));
        tokio::time::sleep(SECOND).await;
        let answer = bench.ask(1, MINUTE).await.expect("the last state");
        assert_eq!(answer.result.read_time, first.result.read_time);
        bench.simulator.clear_faults();
    }
}

#[tokio::test(start_paused = true)]
async fn callers_of_ids_that_do_not_exist_do_not_delay_those_who_wait_for_real_ones() {
    let settings = ReaderSettings { rate: Some(5.0), ..SETTINGS };
    let bench = Bench::with(
        settings,
        simulator::Config { latency: Duration::from_millis(30), quota_tps: 5, ..Default::default() },
    );
    let broken: Vec<_> = (100..150)
        .map(|number| {
            let results = bench.results.clone();
            tokio::spawn(async move {
                loop {
                    let budget = WaitBudget { wait_until: None, respond_by: Instant::now() + 30 * SECOND };
                    results.get(id(number), ImageSet::NONE, budget).await.map(drop).expect_err("it does not exist");
                    tokio::time::sleep(SECOND / 2).await;
                }
            })
        })
        .collect();
    // The first reads of ids that nobody has seen are first reads: they pass once.
    tokio::time::sleep(20 * SECOND).await;
    for number in 0..20 {
        bench.place(number, SUCCEEDED);
    }
    let callers: Vec<_> = (0..20).map(|number| bench.wait(number, 50)).collect();
    for caller in callers {
        let (answer, waited) = caller.await.unwrap();
        assert_eq!(status(&answer), Ok(LivenessStatus::Succeeded));
        assert!(waited < 12 * SECOND, "{waited:?}");
    }
    assert_eq!(bench.simulator.throttled(), 0);
    broken.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_read_exactly_once_after_it_has_ended() {
    let bench = Bench::start();
    for number in 0..30 {
        bench.place(number, SUCCEEDED);
    }
    let callers: Vec<_> = (0..120).map(|caller| bench.wait(caller % 30, 50)).collect();
    for caller in callers {
        assert_eq!(status(&caller.await.unwrap().0), Ok(LivenessStatus::Succeeded));
    }
    assert_eq!(bench.simulator.reads_answered("SUCCEEDED"), 30);
    let reads = bench.simulator.reads();
    tokio::time::sleep(MINUTE).await;
    for number in 0..30 {
        bench.ask(number, MINUTE).await.expect("a result");
    }
    assert_eq!((bench.simulator.reads(), bench.results.polls()), (reads, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_answers_those_who_wait_with_what_is_known_and_ends_every_poll() {
    let bench = Bench::start();
    bench.freeze(1, Status::InProgress);
    bench.simulator.script(Fault { session_id: Some(text(2)), ..Fault::new(error("ThrottlingException", 400)) });
    let (known, unknown) = (bench.wait(1, 50), bench.wait(2, 50));
    tokio::time::sleep(3 * SECOND).await;
    bench.results.stop();
    let (answer, waited) = known.await.unwrap();
    assert_eq!((status(&answer), waited.as_secs()), (Ok(LivenessStatus::InProgress), 3));
    assert_eq!(status(&unknown.await.unwrap().0), Err(Reason::ShuttingDown));
    bench.results.stopped().await;
    assert_eq!(bench.results.polls(), 0);
    assert_eq!(status(&bench.ask(3, MINUTE).await), Err(Reason::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn of_a_burst_of_first_reads_those_who_have_no_turn_are_refused_at_once() {
    let bench = Bench::with(ReaderSettings { rate: Some(1.0), ..SETTINGS }, simulator::Config::default());
    let callers: Vec<_> = (0..100)
        .map(|number| {
            bench.freeze(number, Status::Created);
            let results = bench.results.clone();
            tokio::spawn(async move {
                let asked = Instant::now();
                let budget = WaitBudget { wait_until: None, respond_by: asked + 3 * SECOND };
                (results.get(id(number), ImageSet::NONE, budget).await, asked.elapsed())
            })
        })
        .collect();
    let mut answered = 0;
    for caller in callers {
        match caller.await.unwrap() {
            (Ok(_), _) => answered += 1,
            (Err(error), waited) => assert_eq!((error.reason, waited), (Reason::QuotaExhausted, Duration::ZERO)),
        }
    }
    assert!((2..=4).contains(&answered), "{answered}");
}

#[tokio::test(start_paused = true)]
async fn a_capture_survives_an_error_that_is_mended() {
    for kind in [
        error("ExpiredTokenException", 403),
        error("AccessDeniedException", 400),
        FaultKind::Raw { status: 200, content_type: None, body: "{}".into() },
    ] {
        let bench = Bench::start();
        let created_for = Some(Duration::from_secs(60));
        bench.simulator.place(Session { created_for, ..Session::new(text(1)) });
        bench.ask(1, MINUTE).await.expect("a state");
        tokio::time::sleep(10 * SECOND).await;
        bench.simulator.script(Fault { times: Some(1), ..Fault::new(kind) });
        tokio::time::sleep(5 * MINUTE).await;
        assert_eq!(status(&bench.ask(1, MINUTE).await), Ok(LivenessStatus::Succeeded));
        assert_eq!(bench.results.polls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_of_missing_credentials_and_not_sent_around_in_a_circle() {
    let bench = Bench::start();
    bench.freeze(1, Status::InProgress);
    bench.ask(1, MINUTE).await.expect("a state");
    bench.simulator.script(Fault::new(error("ExpiredTokenException", 403)));
    let first = bench.wait(1, 50).await.unwrap().0.map(drop).expect_err("no credentials");
    let second = bench.wait(1, 50).await.unwrap().0.map(drop).expect_err("no credentials");
    assert_eq!((first.reason, second.reason), (Reason::UpstreamCredentials, Reason::UpstreamCredentials));
    assert_eq!(status(&bench.ask(1, MINUTE).await), Ok(LivenessStatus::InProgress));
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_after_the_delay_told_finds_a_read_under_way_or_a_new_delay() {
    let bench = Bench::start();
    bench.simulator.script(Fault::new(error("ServiceUnavailable", 503)));
    for _ in 0..20 {
        let asked = Instant::now();
        let told = bench.ask(1, MINUTE).await.map(drop).expect_err("unavailable");
        assert_eq!(told.reason, Reason::UpstreamUnavailable);
        assert!(asked.elapsed() < SECOND, "held for {:?}", asked.elapsed());
        let delay = told.retry_delay().expect("it may pass");
        assert!(delay <= 6 * SECOND, "{delay:?}");
        tokio::time::sleep(delay).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_comes_while_an_error_is_remembered_survives_it_without_a_read_before_its_time() {
    let bench = Bench::start();
    bench.simulator.script(Fault { times: Some(3), ..Fault::new(error("ServiceUnavailable", 503)) });
    let told = bench.ask(1, MINUTE).await.map(drop).expect_err("unavailable");
    bench.freeze(1, Status::Succeeded);
    let (answer, waited) = bench.wait(1, 50).await.unwrap();
    assert_eq!(status(&answer), Ok(LivenessStatus::Succeeded));
    assert!(waited >= told.retry_delay().expect("it may pass") - SECOND / 10, "{waited:?}");
    assert_eq!(bench.reads(1), 4);
}

#[tokio::test(start_paused = true)]
async fn a_new_poll_reads_no_sooner_than_a_remembered_error_allows() {
    let bench = Bench::start();
    bench.freeze(1, Status::Succeeded);
    let error = Error::new(Reason::UpstreamUnavailable);
    bench.results.0.cache.negative.insert(id(1), &error, 10 * SECOND).await;
    let (answer, waited) = bench.wait(1, 50).await.unwrap();
    assert_eq!((status(&answer), waited.as_secs()), (Ok(LivenessStatus::Succeeded), 10));
}

#[tokio::test(start_paused = true)]
async fn a_known_session_is_not_refused_by_a_stop() {
    let bench = Bench::start();
    bench.freeze(1, Status::InProgress);
    bench.ask(1, MINUTE).await.expect("a state");
    bench.results.stop();
    bench.results.stopped().await;
    assert_eq!(status(&bench.ask(1, MINUTE).await), Ok(LivenessStatus::InProgress));
    assert_eq!(status(&bench.wait(1, 50).await.unwrap().0), Ok(LivenessStatus::InProgress));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_runs_out_gives_no_older_state_than_no_wait() {
    let bench = Bench::with(
        ReaderSettings { capture: false, ..SETTINGS },
        simulator::Config { latency: SECOND / 5, ..Default::default() },
    );
    bench.freeze(1, Status::InProgress);
    bench.ask(1, MINUTE).await.expect("a state");
    tokio::time::sleep(2 * MINUTE).await;
    let asked = Instant::now();
    let budget = WaitBudget { wait_until: Some(asked + SECOND / 10), respond_by: asked + MINUTE };
    let answer = bench.results.get(id(1), ImageSet::NONE, budget).await.expect("a state");
    assert!(answer.result.read_at >= asked && asked.elapsed() <= FRESH_STATE_WAIT);
}

#[tokio::test(start_paused = true)]
async fn an_id_last_seen_not_found_is_a_re_read_and_answered_so_when_it_cannot_be_asked_again_in_time() {
    let bench = Bench::with(ReaderSettings { rate: Some(1.0), ..SETTINGS }, simulator::Config::default());
    assert_eq!(status(&bench.ask(1, MINUTE).await), Err(Reason::SessionNotFound));
    tokio::time::sleep(3 * SECOND).await;
    for number in 2..40 {
        bench.freeze(number, Status::InProgress);
        bench.wait(number, 50);
    }
    tokio::time::sleep(SECOND / 10).await;
    let asked = Instant::now();
    // A first read would be refused for want of a turn.
    assert_eq!(status(&bench.ask(1, 10 * SECOND).await), Err(Reason::SessionNotFound));
    assert!(asked.elapsed() <= FRESH_STATE_WAIT);
    let (answer, waited) = bench.wait(1, 5).await.unwrap();
    assert_eq!((status(&answer), waited.as_secs()), (Err(Reason::SessionNotFound), 5));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_was_never_read_is_not_captured() {
    let bench = Bench::with(ReaderSettings { rate: Some(1.0), ..SETTINGS }, simulator::Config::default());
    let leavers: Vec<_> = (0..50).map(|number| bench.wait(number, 50)).collect();
    tokio::time::sleep(SECOND / 10).await;
    leavers.iter().for_each(JoinHandle::abort);
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(bench.results.polls(), 0);
}

#[tokio::test(start_paused = true)]
async fn beyond_ten_thousand_unfinished_sessions_new_ones_are_refused_as_overload() {
    let bench = Bench::with(ReaderSettings { rate: None, ..SETTINGS }, simulator::Config::default());
    bench.simulator.script(Fault::new(FaultKind::Hang));
    let callers: Vec<_> = (0..10_000).map(|number| bench.wait(number, 3)).collect();
    tokio::time::sleep(SECOND).await;
    assert_eq!(status(&bench.ask(10_000, SECOND).await), Err(Reason::Overloaded));
    callers.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn time_in_the_queue_is_not_time_of_the_read() {
    let settings = ReaderSettings { rate: Some(0.5), ..SETTINGS };
    let bench = Bench::with(settings, simulator::Config { latency: 4 * SECOND, ..Default::default() });
    let callers: Vec<_> = (0..5)
        .map(|number| {
            bench.freeze(number, Status::Succeeded);
            bench.wait(number, 50)
        })
        .collect();
    for caller in callers {
        assert_eq!(status(&caller.await.unwrap().0), Ok(LivenessStatus::Succeeded));
    }
    assert_eq!(bench.simulator.reads(), 5, "no read timed out");
}

#[tokio::test(start_paused = true)]
async fn who_wants_evicted_images_has_the_outcome_within_seconds_though_aws_throttles() {
    let limits = CacheLimits { image_bytes: 1, ..SETTINGS.limits };
    let bench = Bench::with(ReaderSettings { limits, ..SETTINGS }, simulator::Config::default());
    bench.simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(text(1)) });
    bench.ask(1, MINUTE).await.expect("a result");
    bench.results.0.cache.run_pending_tasks().await;
    bench.simulator.script(Fault::new(error("ThrottlingException", 400)));
    let asked = Instant::now();
    let budget = WaitBudget { wait_until: None, respond_by: asked + MINUTE };
    let answer = bench.results.get(id(1), ImageSet::ALL, budget).await.expect("the outcome");
    assert!(answer.images.is_none() && asked.elapsed() <= IMAGES_WAIT, "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_capture_stays_away_for_its_period() {
    let bench = Bench::start();
    bench.freeze(1, Status::Created);
    bench.ask(1, MINUTE).await.expect("a state");
    tokio::time::sleep(4 * SECOND).await;
    let reads = bench.reads(1);
    bench.simulator.script(Fault::new(error("ThrottlingException", 400)));
    tokio::time::sleep(MINUTE).await;
    assert!(bench.reads(1) - reads <= 13, "{} reads in a minute", bench.reads(1) - reads);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_gone_is_not_called_unfinished_by_a_stop() {
    let bench = Bench::start();
    bench.freeze(1, Status::InProgress);
    bench.ask(1, MINUTE).await.expect("a state");
    bench.simulator.script(Fault::new(error("SessionNotFoundException", 400)));
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(status(&bench.ask(1, MINUTE).await), Err(Reason::SessionGone));
    bench.results.stop();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(status(&bench.ask(1, MINUTE).await), Err(Reason::SessionGone));
}
