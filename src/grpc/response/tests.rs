use super::*;
use crate::session::SessionId;
use proptest::prelude::*;
use proto::{ImageContent, LivenessStatus, Verdict};
use std::{sync::Arc, time::Duration};

const ID: &str = "2cf2a1a5-1a2b-4c3d-8e4f-0123456789ab";

/// Returns a session with two audit images. AWS sent the content of the images in `sent`.
fn session(sent: ImageSet, is_cached: bool) -> SessionResponse {
    let image = |content: &'static [u8], sent: bool| proto::LivenessImage {
        content: if sent { content.into() } else { Default::default() },
        ..Default::default()
    };
    let (result, images) = SessionResult::split(proto::LivenessResult {
        session_id: ID.into(),
        status: LivenessStatus::Succeeded.into(),
        confidence: Some(99.0),
        reference_image: Some(image(b"reference", sent.reference)),
        audit_images: vec![image(b"one", sent.audit), image(b"two", sent.audit)],
        ..Default::default()
    });
    SessionResponse { result: Arc::new(result), images: is_cached.then(|| Arc::new(images)) }
}

fn valid(images: ImageSet) -> ValidRequest {
    let session_id = SessionId::parse(ID).expect("a valid id");
    ValidRequest { session_id, images, min_confidence: Some(80.0), wait: None, max_result_age: None }
}

fn respond(session: &SessionResponse, requested: ImageSet, allowed: ImageSet) -> Response {
    of(session.clone(), &valid(requested), allowed, Instant::now(), None)
}

#[test]
fn image_content_tells_why_images_are_absent() {
    const AUDIT: ImageSet = ImageSet { reference: false, audit: true };
    let (none, reference, all) = (ImageSet::NONE, ImageSet::REFERENCE, ImageSet::ALL);
    for (what, sent, is_cached, requested, allowed, expected) in [
        ("none requested", all, true, none, all, ImageContent::Unspecified),
        ("the reference is cached", all, true, reference, all, ImageContent::Included),
        ("all are cached", all, true, all, all, ImageContent::Included),
        ("AWS sent none", none, false, all, all, ImageContent::Absent),
        ("AWS sent no reference", AUDIT, true, reference, all, ImageContent::Absent),
        ("AWS sent only the reference, and it is cached", reference, true, all, all, ImageContent::Included),
        ("no longer cached", all, false, all, all, ImageContent::Expired),
        ("the server returns none", all, false, all, none, ImageContent::Withheld),
        ("the server returns the reference only", all, true, all, reference, ImageContent::Withheld),
        (
            "the server returns the reference only, which is no longer cached",
            all,
            false,
            all,
            reference,
            ImageContent::Expired,
        ),
        ("the server returns what was requested", all, true, reference, reference, ImageContent::Included),
    ] {
        let response = respond(&session(sent, is_cached), requested, allowed);
        assert_eq!(response.message.image_content(), expected, "{what}");
    }
}

#[test]
fn a_view_gets_its_images_and_no_others() {
    let contents = |requested, allowed| {
        let result = respond(&session(ImageSet::ALL, true), requested, allowed).message.result.expect("a result");
        let audit = result.audit_images.iter().map(|image| image.content.clone());
        (result.reference_image.expect("an image").content, audit.collect::<Vec<_>>())
    };
    let empty = || vec![bytes::Bytes::new(); 2];
    assert_eq!(contents(ImageSet::NONE, ImageSet::ALL), ("".into(), empty()));
    assert_eq!(contents(ImageSet::REFERENCE, ImageSet::ALL), ("reference".into(), empty()));
    assert_eq!(contents(ImageSet::ALL, ImageSet::ALL), ("reference".into(), vec!["one".into(), "two".into()]));
    assert_eq!(contents(ImageSet::ALL, ImageSet::REFERENCE), ("reference".into(), empty()));
    assert_eq!(contents(ImageSet::ALL, ImageSet::NONE), ("".into(), empty()));
}

#[test]
fn only_the_images_in_the_response_count_against_the_budget() {
    let size = |requested, allowed| image_bytes(&session(ImageSet::ALL, true), &valid(requested), allowed);
    assert_eq!(size(ImageSet::ALL, ImageSet::ALL), "reference".len() + "one".len() + "two".len());
    assert_eq!(size(ImageSet::ALL, ImageSet::REFERENCE), "reference".len());
    assert_eq!(size(ImageSet::ALL, ImageSet::NONE), 0);
    assert_eq!(size(ImageSet::NONE, ImageSet::ALL), 0);
}

#[test]
fn a_response_shares_the_content_of_images_with_the_cache() {
    let session = session(ImageSet::ALL, true);
    let result = respond(&session, ImageSet::REFERENCE, ImageSet::ALL).message.result.expect("a result");
    let cached = session.images.expect("images").reference.as_ptr();
    assert_eq!(result.reference_image.expect("an image").content.as_ptr(), cached);
}

proptest! {
    #[test]
    fn a_response_to_the_full_view_has_all_that_aws_sent(
        reference in proptest::option::of(proptest::collection::vec(0u8.., 0..300)),
        audit in proptest::collection::vec((proptest::collection::vec(0u8.., 0..300), "[a-z]{0,200}"), 0..4),
        confidence: Option<f32>,
        session_id in "[a-z]{0,200}",
    ) {
        let image = |content: Vec<u8>, name: String| proto::LivenessImage {
            content: content.into(),
            s3_object: Some(proto::S3Object { name, ..Default::default() }),
            bounding_box: None,
        };
        let result = proto::LivenessResult {
            session_id,
            confidence: confidence.filter(|score| !score.is_nan()),
            reference_image: reference.map(|content| image(content, String::new())),
            audit_images: audit.into_iter().map(|(content, name)| image(content, name)).collect(),
            metadata: Some(proto::SessionMetadata { sdk_type: "any".into() }),
            ..Default::default()
        };
        let (session_result, images) = SessionResult::split(result.clone());
        let size = images.size();
        let session = SessionResponse { result: Arc::new(session_result), images: Some(Arc::new(images)) };
        prop_assert_eq!(image_bytes(&session, &valid(ImageSet::ALL), ImageSet::ALL), size);
        prop_assert_eq!(respond(&session, ImageSet::ALL, ImageSet::ALL).message.result, Some(result));
    }
}

#[test]
fn the_verdict_is_live_only_for_a_session_that_succeeded_with_enough_confidence() {
    use LivenessStatus::*;
    for (status, confidence, expected) in [
        (Succeeded, Some(80.0), Verdict::Live),
        (Succeeded, Some(79.999), Verdict::NotLive),
        (Succeeded, Some(0.0), Verdict::NotLive),
        (Succeeded, None, Verdict::Inconclusive),
        (Failed, None, Verdict::Inconclusive),
        (Failed, Some(99.0), Verdict::Inconclusive),
        (Expired, Some(99.0), Verdict::Inconclusive),
        (Created, Some(99.0), Verdict::Pending),
        (InProgress, Some(99.0), Verdict::Pending),
        (Unspecified, Some(99.0), Verdict::Pending),
    ] {
        let result = proto::LivenessResult { status: status.into(), confidence, ..Default::default() };
        assert_eq!(result.verdict(Some(80.0)), expected, "{status:?} {confidence:?}");
        assert_eq!(result.verdict(None), Verdict::Unspecified, "{status:?} {confidence:?}");
    }
}

proptest! {
    #[test]
    fn no_session_below_the_threshold_is_live(status in 0..=6, confidence: Option<f32>, threshold in 1.1f32..=100.0) {
        let result = proto::LivenessResult { status, confidence, ..Default::default() };
        let live = result.verdict(Some(threshold)) == Verdict::Live;
        let should = status == LivenessStatus::Succeeded as i32 && confidence.is_some_and(|score| score >= threshold);
        prop_assert_eq!(live, should);
    }

    #[test]
    fn only_a_live_result_that_was_first_read_longer_ago_is_too_old(
        status in 0..=6,
        confidence in proptest::option::of(0f32..=100.0),
        min_confidence in proptest::option::of(1.1f32..=100.0),
        minutes in 0u64..100_000,
        max_minutes in proptest::option::of(0u64..100_000),
    ) {
        let message = proto::LivenessResult { status, confidence, ..Default::default() };
        let (mut result, _) = SessionResult::split(message);
        result.read_at -= Duration::from_secs(60 * minutes);
        let max_result_age = max_minutes.map(|minutes| Duration::from_secs(60 * minutes + 30));
        let valid = ValidRequest { min_confidence, max_result_age, ..valid(ImageSet::NONE) };
        let expected = match result.message.verdict(min_confidence) {
            Verdict::Live if max_minutes.is_some_and(|max| minutes > max) => Verdict::TooOld,
            verdict => verdict,
        };
        let session = SessionResponse { result: Arc::new(result), images: None };
        let response = of(session, &valid, ImageSet::ALL, Instant::now(), None);
        prop_assert_eq!(response.message.verdict(), expected);
    }
}

#[test]
fn the_source_is_upstream_if_the_read_ended_after_the_call_arrived() {
    let before = Instant::now();
    let session = session(ImageSet::NONE, false);
    let valid = ValidRequest {
        session_id: SessionId::parse(ID).expect("a valid id"),
        images: ImageSet::NONE,
        min_confidence: None,
        wait: None,
        max_result_age: None,
    };
    let source = |arrival| of(session.clone(), &valid, ImageSet::ALL, arrival, None).message.source();
    assert_eq!(source(before), proto::Source::Upstream);
    assert_eq!(source(Instant::now() + Duration::from_millis(1)), proto::Source::Cache);
}
