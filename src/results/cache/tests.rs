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

fn message(status: proto::LivenessStatus, image: Bytes) -> proto::LivenessResult {
    proto::LivenessResult {
        status: status.into(),
        reference_image: Some(proto::LivenessImage { content: image, ..Default::default() }),
        ..Default::default()
    }
}

/// Caches a read as a poll does.
async fn insert_read(cache: &Cache, number: u32, mut result: SessionResult, images: Images) -> SessionResponse {
    if !result.is_final() {
        return cache.insert_pending(id(number), Arc::new(result)).await;
    }
    let images = cache.set_expiry(id(number), &mut result, images).await;
    cache.insert_final(id(number), result, Some(images)).await.response
}

async fn insert(cache: &Cache, number: u32, image: impl Into<Bytes>) -> SessionResponse {
    let (result, images) = SessionResult::split(message(proto::LivenessStatus::Succeeded, image.into()));
    insert_read(cache, number, result, images).await
}

/// An image that counts how many exist.
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

/// Runs the maintenance until `done`, for at most ten seconds.
async fn maintain_until(cache: &Cache, done: impl Fn() -> bool) -> bool {
    let checks = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = cache.maintain() => unreachable!("maintain() never completes"),
        done = tokio::time::timeout(Duration::from_secs(10), checks) => done.is_ok(),
    }
}

#[tokio::test]
async fn a_pending_session_is_not_cached_as_a_result() {
    let cache = new_cache(LIMITS);
    use proto::LivenessStatus::*;
    for status in [Unspecified, Created, InProgress] {
        let (result, images) = SessionResult::split(message(status, "face".into()));
        let response = insert_read(&cache, 1, result, images).await;
        assert_eq!((response.result.expire_time(), response.result.image_expire_time()), (None, None));
        assert!(cache.get(id(1), ImageSet::ALL).await.is_none(), "{status:?}");
    }
}

#[tokio::test]
async fn a_result_and_its_images_have_ttls_of_their_own() {
    let response = insert(&new_cache(LIMITS), 1, "face").await;
    let ttl = |until: Option<std::time::SystemTime>| {
        until.expect("it is cached").duration_since(response.result.read_time).expect("a time in the future").as_secs()
    };
    assert_eq!(ttl(response.result.expire_time()), 3600);
    assert_eq!(ttl(response.result.image_expire_time()), 300);
}

#[tokio::test]
async fn the_newest_results_survive_a_full_cache() {
    let cache = new_cache(LIMITS);
    for number in 0..300 {
        insert(&cache, number, "face").await;
        // moka's default policy would now reject new entries.
        cache.get(id(number % 100), ImageSet::NONE).await;
    }
    cache.results.run_pending_tasks().await;
    for number in 250..300 {
        assert!(cache.get(id(number), ImageSet::NONE).await.is_some(), "{number}");
    }
    assert!(cache.results.entry_count() <= 100);
}

#[tokio::test]
async fn images_evict_images_and_never_a_result() {
    let cache = new_cache(LIMITS);
    let count = Arc::default();
    for number in 0..100 {
        insert(&cache, number, Counted::image(100_000, &count)).await;
    }
    assert!(maintain_until(&cache, || count.load(Ordering::SeqCst) <= 10).await, "{count:?}");
    for number in 0..100 {
        assert!(cache.get(id(number), ImageSet::NONE).await.is_some(), "{number}");
    }
    let newest = cache.get(id(99), ImageSet::REFERENCE).await.expect("cached");
    assert_eq!(newest.images.expect("cached").size(), 100_000);
    let oldest = cache.get(id(0), ImageSet::REFERENCE).await.expect("cached");
    assert!(oldest.images.is_none());
}

#[tokio::test]
async fn expired_images_are_dropped_without_a_lookup() {
    let cache = new_cache(CacheLimits { image_ttl: Duration::from_millis(50), ..LIMITS });
    let count = Arc::default();
    for number in 0..20 {
        insert(&cache, number, Counted::image(1000, &count)).await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 20);
    assert!(maintain_until(&cache, || count.load(Ordering::SeqCst) == 0).await, "{count:?}");
    assert!(cache.get(id(0), ImageSet::REFERENCE).await.expect("the result is cached").images.is_none());
}

#[tokio::test]
async fn forbidden_images_are_neither_returned_nor_kept_in_memory() {
    let cache = new_cache(CacheLimits { images: ImageSet::NONE, ..LIMITS });
    let count = Arc::default();
    let response = insert(&cache, 1, Counted::image(1000, &count)).await;
    assert_eq!(count.load(Ordering::SeqCst), 0);
    assert_eq!(response.images.expect("a set of images").size(), 0);
    assert_eq!(response.result.image_expire_time(), None);
    assert!(response.result.sent.reference, "the cache records that AWS sent it");
}

#[tokio::test]
async fn a_ttl_of_zero_caches_nothing() {
    let cache = new_cache(CacheLimits { image_ttl: Duration::ZERO, ..LIMITS });
    let response = insert(&cache, 1, "face").await;
    assert!(response.result.expire_time().is_some() && response.result.image_expire_time().is_none());
    assert!(cache.get(id(1), ImageSet::ALL).await.expect("the result is cached").images.is_none());

    let cache = new_cache(CacheLimits { result_ttl: Duration::ZERO, ..LIMITS });
    let response = insert(&cache, 1, "face").await;
    assert!(response.result.expire_time().is_none() && response.result.image_expire_time().is_none());
    assert!(cache.get(id(1), ImageSet::ALL).await.is_none());
}

#[tokio::test]
async fn reading_images_again_does_not_extend_their_ttl() {
    let cache = new_cache(LIMITS);
    let first = insert(&cache, 1, "face").await;
    cache.images.invalidate(&id(1)).await;
    assert!(cache.can_read_images_again(&first.result, ImageSet::REFERENCE));
    let second = insert(&cache, 1, "face").await;
    assert_eq!(second.result.images_expire_at, first.result.images_expire_at);
    assert_eq!(second.result.expires_at, first.result.expires_at);
    assert_eq!(second.result.read_at, first.result.read_at, "it does not renew the age");
    assert!(cache.get(id(1), ImageSet::REFERENCE).await.expect("cached").images.is_some());
}

#[tokio::test]
async fn expired_deleted_or_forbidden_images_are_not_read_again() {
    let cache = new_cache(LIMITS);
    let mut result = (*insert(&cache, 1, "face").await.result).clone();
    assert!(cache.can_read_images_again(&result, ImageSet::ALL));
    assert!(!cache.can_read_images_again(&result, ImageSet::NONE));
    assert!(!new_cache(CacheLimits { images: ImageSet::NONE, ..LIMITS }).can_read_images_again(&result, ImageSet::ALL));
    let over = SessionResult { images_expire_at: result.read_at, ..result.clone() };
    assert!(!cache.can_read_images_again(&over, ImageSet::ALL));
    result.read_at = result.read_at.checked_sub(AWS_LIFETIME).expect("this machine runs for longer");
    assert!(!cache.can_read_images_again(&result, ImageSet::ALL));
}

async fn cached_error(cache: &Cache, number: u32) -> Option<Reason> {
    cache.negative.get(id(number)).await.filter(|cached| cached.is_current()).map(|cached| cached.error.reason)
}

#[tokio::test]
async fn not_found_is_cached_and_is_gone_if_the_session_was_pending() {
    let cache = new_cache(LIMITS);
    let not_found = || Error::new(Reason::SessionNotFound);
    assert_eq!(cache.insert_not_found(id(1), not_found()).await.reason, Reason::SessionNotFound);
    assert_eq!(cached_error(&cache, 1).await, Some(Reason::SessionNotFound));

    let (result, images) = SessionResult::split(message(proto::LivenessStatus::Created, Bytes::new()));
    insert_read(&cache, 2, result, images).await;
    assert_eq!(cache.insert_not_found(id(2), not_found()).await.reason, Reason::SessionGone);
    assert_eq!(cached_error(&cache, 2).await, Some(Reason::SessionGone));

    let cache = new_cache(CacheLimits { not_found_ttl: Duration::ZERO, ..LIMITS });
    cache.insert_not_found(id(1), not_found()).await;
    assert_eq!(cached_error(&cache, 1).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_ttl_of_not_found_doubles_up_to_a_minute() {
    let cache = new_cache(LIMITS);
    for seconds in [2, 4, 8, 16, 32, 60, 60] {
        cache.insert_not_found(id(1), Error::new(Reason::SessionNotFound)).await;
        tokio::time::advance(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
        assert_eq!(cached_error(&cache, 1).await, Some(Reason::SessionNotFound), "{seconds} s");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(cached_error(&cache, 1).await, None, "{seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_transient_error_is_cached_until_its_retry_delay_is_over() {
    let cache = new_cache(LIMITS);
    let error = Error::new(Reason::UpstreamUnavailable);
    cache.negative.insert(id(1), &error, Duration::from_secs(3)).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(cached_error(&cache, 1).await, Some(Reason::UpstreamUnavailable));
    let delay = cache.negative.get(id(1)).await.expect("cached").to_error().retry_delay();
    assert_eq!(delay, Some(Duration::from_secs(2)));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(cached_error(&cache, 1).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_transient_error_does_not_replace_not_found() {
    let cache = new_cache(LIMITS);
    cache.insert_not_found(id(1), Error::new(Reason::SessionNotFound)).await;
    cache.negative.insert(id(1), &Error::new(Reason::UpstreamUnavailable), Duration::from_secs(1)).await;
    assert_eq!(cached_error(&cache, 1).await, Some(Reason::SessionNotFound));
}

#[tokio::test]
async fn a_successful_read_removes_a_cached_error() {
    let cache = new_cache(LIMITS);
    cache.insert_not_found(id(1), Error::new(Reason::SessionNotFound)).await;
    let (result, images) = SessionResult::split(message(proto::LivenessStatus::Created, Bytes::new()));
    insert_read(&cache, 1, result, images).await;
    assert_eq!(cached_error(&cache, 1).await, None);
}

#[tokio::test]
async fn a_final_session_is_not_pending_even_if_its_result_is_not_cached() {
    let cache = new_cache(CacheLimits { result_ttl: Duration::ZERO, ..LIMITS });
    let (result, images) = SessionResult::split(message(proto::LivenessStatus::InProgress, Bytes::new()));
    insert_read(&cache, 1, result, images).await;
    assert!(cache.pending(id(1)).await.is_some());
    insert(&cache, 1, "face").await;
    assert!(cache.pending(id(1)).await.is_none());
    assert_eq!(cache.insert_not_found(id(1), Error::new(Reason::SessionNotFound)).await.reason, Reason::SessionGone);
}
