use super::*;
use crate::proto;
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};

fn new_cache(limits: CacheLimits) -> Cache {
    Cache::new(limits, &Registry::default())
}

const LIMITS: CacheLimits = CacheLimits {
    result_ttl: Duration::from_secs(3600),
    result_entries: 100,
    image_ttl: Duration::from_secs(300),
    image_bytes: 1 << 20,
    images: ImageSet::ALL,
    not_found_ttl: Duration::from_secs(2),
};

fn id(number: u32) -> SessionId {
    SessionId::parse(&format!("00000000-0000-4000-8000-{number:012x}")).expect("a valid id")
}

fn result(status: proto::LivenessStatus, image: Bytes) -> proto::LivenessResult {
    proto::LivenessResult {
        status: status.into(),
        reference_image: Some(proto::LivenessImage { content: image, ..Default::default() }),
        ..Default::default()
    }
}

/// What a poll does with a read.
async fn keep_read(cache: &Cache, number: u32, mut outcome: SessionResult, images: Images) -> SessionResponse {
    if !outcome.is_final() {
        return cache.keep_state(id(number), outcome).await;
    }
    let images = cache.assess(id(number), &mut outcome, images).await;
    cache.keep(id(number), outcome, Some(images)).await.into_answer()
}

async fn keep(cache: &Cache, number: u32, image: impl Into<Bytes>) -> SessionResponse {
    let (outcome, images) = SessionResult::split(result(proto::LivenessStatus::Succeeded, image.into()));
    keep_read(cache, number, outcome, images).await
}

/// Counts the images that are in memory.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl Counted {
    fn image(size: usize, count: &Arc<AtomicUsize>) -> Bytes {
        count.fetch_add(1, Ordering::SeqCst);
        Bytes::from_owner(Self(vec![7; size], Arc::clone(count)))
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Drives the cache's upkeep until `done`, and for ten seconds at most.
async fn maintain_until(cache: &Cache, done: impl Fn() -> bool) -> bool {
    let checks = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = cache.maintain() => unreachable!("it runs for ever"),
        done = tokio::time::timeout(Duration::from_secs(10), checks) => done.is_ok(),
    }
}

#[tokio::test]
async fn a_session_that_has_not_ended_is_not_held() {
    let cache = new_cache(LIMITS);
    use proto::LivenessStatus::*;
    for status in [Unspecified, Created, InProgress] {
        let (outcome, images) = SessionResult::split(result(status, "face".into()));
        let answer = keep_read(&cache, 1, outcome, images).await;
        assert_eq!((answer.result.expire_time(), answer.result.image_expire_time()), (None, None));
        assert!(cache.answer(id(1), ImageSet::ALL).await.is_none(), "{status:?}");
    }
}

#[tokio::test]
async fn a_result_is_held_for_its_time_and_its_face_for_a_shorter_one() {
    let answer = keep(&new_cache(LIMITS), 1, "face").await;
    let held_for = |until: Option<std::time::SystemTime>| {
        until.expect("it is held").duration_since(answer.result.read_time).expect("a time to come").as_secs()
    };
    assert_eq!(held_for(answer.result.expire_time()), 3600);
    assert_eq!(held_for(answer.result.image_expire_time()), 300);
}

#[tokio::test]
async fn the_newest_results_survive_a_full_cache() {
    let cache = new_cache(LIMITS);
    for number in 0..300 {
        keep(&cache, number, "face").await;
        // A warm cache: moka's default would now refuse what is new.
        cache.answer(id(number % 100), ImageSet::NONE).await;
    }
    cache.outcomes.run_pending_tasks().await;
    for number in 250..300 {
        assert!(cache.answer(id(number), ImageSet::NONE).await.is_some(), "{number}");
    }
    assert!(cache.outcomes.entry_count() <= 100);
}

#[tokio::test]
async fn faces_make_room_for_faces_and_never_push_an_outcome_out() {
    let cache = new_cache(LIMITS);
    let count = Arc::default();
    for number in 0..100 {
        keep(&cache, number, Counted::image(100_000, &count)).await;
    }
    assert!(maintain_until(&cache, || count.load(Ordering::SeqCst) <= 10).await, "{count:?}");
    for number in 0..100 {
        assert!(cache.answer(id(number), ImageSet::NONE).await.is_some(), "{number}");
    }
    let newest = cache.answer(id(99), ImageSet::REFERENCE).await.expect("held");
    assert_eq!(newest.images.expect("held").size(), 100_000);
    let oldest = cache.answer(id(0), ImageSet::REFERENCE).await.expect("held");
    assert!(oldest.images.is_none());
}

#[tokio::test]
async fn an_expired_face_leaves_memory_though_nobody_looks() {
    let cache = new_cache(CacheLimits { image_ttl: Duration::from_millis(50), ..LIMITS });
    let count = Arc::default();
    for number in 0..20 {
        keep(&cache, number, Counted::image(1000, &count)).await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 20);
    assert!(maintain_until(&cache, || count.load(Ordering::SeqCst) == 0).await, "{count:?}");
    assert!(cache.answer(id(0), ImageSet::REFERENCE).await.expect("the outcome is held").images.is_none());
}

#[tokio::test]
async fn a_face_that_may_not_be_held_is_in_no_answer_and_not_in_memory() {
    let cache = new_cache(CacheLimits { images: ImageSet::NONE, ..LIMITS });
    let count = Arc::default();
    let answer = keep(&cache, 1, Counted::image(1000, &count)).await;
    assert_eq!(count.load(Ordering::SeqCst), 0);
    assert_eq!(answer.images.expect("a set of images").size(), 0);
    assert_eq!(answer.result.image_expire_time(), None);
    assert!(answer.result.sent.reference, "that AWS sent it is known");
}

#[tokio::test]
async fn times_to_live_of_zero_hold_nothing() {
    let cache = new_cache(CacheLimits { image_ttl: Duration::ZERO, ..LIMITS });
    let answer = keep(&cache, 1, "face").await;
    assert!(answer.result.expire_time().is_some() && answer.result.image_expire_time().is_none());
    assert!(cache.answer(id(1), ImageSet::ALL).await.expect("the outcome is held").images.is_none());

    let cache = new_cache(CacheLimits { result_ttl: Duration::ZERO, ..LIMITS });
    let answer = keep(&cache, 1, "face").await;
    assert!(answer.result.expire_time().is_none() && answer.result.image_expire_time().is_none());
    assert!(cache.answer(id(1), ImageSet::ALL).await.is_none());
}

#[tokio::test]
async fn a_face_that_is_read_again_is_not_held_longer_for_it() {
    let cache = new_cache(LIMITS);
    let first = keep(&cache, 1, "face").await;
    cache.images.invalidate(&id(1)).await;
    assert!(cache.may_be_read_again(&first.result, ImageSet::REFERENCE));
    let second = keep(&cache, 1, "face").await;
    assert_eq!(second.result.images_expire_at, first.result.images_expire_at);
    assert_eq!(second.result.expires_at, first.result.expires_at);
    assert!(cache.answer(id(1), ImageSet::REFERENCE).await.expect("held").images.is_some());
}

#[tokio::test]
async fn a_face_is_not_read_again_once_its_time_is_over_or_aws_has_forgotten_it_or_when_it_may_not_be_held() {
    let cache = new_cache(LIMITS);
    let mut outcome = (*keep(&cache, 1, "face").await.result).clone();
    assert!(cache.may_be_read_again(&outcome, ImageSet::ALL));
    assert!(!cache.may_be_read_again(&outcome, ImageSet::NONE));
    assert!(!new_cache(CacheLimits { images: ImageSet::NONE, ..LIMITS }).may_be_read_again(&outcome, ImageSet::ALL));
    let over = SessionResult { images_expire_at: outcome.read_at, ..outcome.clone() };
    assert!(!cache.may_be_read_again(&over, ImageSet::ALL));
    outcome.read_at = outcome.read_at.checked_sub(AWS_LIFETIME).expect("this machine runs for longer");
    assert!(!cache.may_be_read_again(&outcome, ImageSet::ALL));
}

async fn refusal(cache: &Cache, number: u32) -> Option<Reason> {
    cache.negative.get(id(number)).await.filter(|refusal| refusal.is_current()).map(|refusal| refusal.error.reason)
}

#[tokio::test]
async fn an_unknown_session_is_remembered_and_one_that_was_seen_is_gone() {
    let cache = new_cache(LIMITS);
    let not_found = || Error::new(Reason::SessionNotFound);
    assert_eq!(cache.keep_not_found(id(1), not_found()).await.reason, Reason::SessionNotFound);
    assert_eq!(refusal(&cache, 1).await, Some(Reason::SessionNotFound));

    let (outcome, images) = SessionResult::split(result(proto::LivenessStatus::Created, Bytes::new()));
    keep_read(&cache, 2, outcome, images).await;
    assert_eq!(cache.keep_not_found(id(2), not_found()).await.reason, Reason::SessionGone);
    assert_eq!(refusal(&cache, 2).await, Some(Reason::SessionGone));

    let cache = new_cache(CacheLimits { not_found_ttl: Duration::ZERO, ..LIMITS });
    cache.keep_not_found(id(1), not_found()).await;
    assert_eq!(refusal(&cache, 1).await, None);
}

#[tokio::test(start_paused = true)]
async fn that_a_session_is_unknown_is_remembered_twice_as_long_each_time_up_to_a_minute() {
    let cache = new_cache(LIMITS);
    for seconds in [2, 4, 8, 16, 32, 60, 60] {
        cache.keep_not_found(id(1), Error::new(Reason::SessionNotFound)).await;
        tokio::time::advance(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
        assert_eq!(refusal(&cache, 1).await, Some(Reason::SessionNotFound), "{seconds} s");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(refusal(&cache, 1).await, None, "{seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_may_pass_is_remembered_until_its_callers_come_back() {
    let cache = new_cache(LIMITS);
    let error = Error::new(Reason::UpstreamUnavailable);
    cache.negative.insert(id(1), &error, Duration::from_secs(3)).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(refusal(&cache, 1).await, Some(Reason::UpstreamUnavailable));
    let told = cache.negative.get(id(1)).await.expect("remembered").to_error().retry_delay();
    assert_eq!(told, Some(Duration::from_secs(2)));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(refusal(&cache, 1).await, None);
}

#[tokio::test(start_paused = true)]
async fn that_a_session_is_unknown_outlives_an_error_that_may_pass() {
    let cache = new_cache(LIMITS);
    cache.keep_not_found(id(1), Error::new(Reason::SessionNotFound)).await;
    cache.negative.insert(id(1), &Error::new(Reason::UpstreamUnavailable), Duration::from_secs(1)).await;
    assert_eq!(refusal(&cache, 1).await, Some(Reason::SessionNotFound));
}

#[tokio::test]
async fn an_answer_ends_the_memory_of_an_error() {
    let cache = new_cache(LIMITS);
    cache.keep_not_found(id(1), Error::new(Reason::SessionNotFound)).await;
    let (outcome, images) = SessionResult::split(result(proto::LivenessStatus::Created, Bytes::new()));
    keep_read(&cache, 1, outcome, images).await;
    assert_eq!(refusal(&cache, 1).await, None);
}

#[tokio::test]
async fn an_ended_session_is_not_taken_for_an_unfinished_one_though_its_result_is_not_held() {
    let cache = new_cache(CacheLimits { result_ttl: Duration::ZERO, ..LIMITS });
    let (outcome, images) = SessionResult::split(result(proto::LivenessStatus::InProgress, Bytes::new()));
    keep_read(&cache, 1, outcome, images).await;
    assert!(cache.unfinished(id(1)).await.is_some());
    keep(&cache, 1, "face").await;
    assert!(cache.unfinished(id(1)).await.is_none());
    assert_eq!(cache.keep_not_found(id(1), Error::new(Reason::SessionNotFound)).await.reason, Reason::SessionGone);
}
