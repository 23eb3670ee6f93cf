use super::*;
use crate::session::SessionId;
use proptest::prelude::*;
use proto::{ImageContent, LivenessStatus, Verdict};
use std::{sync::Arc, time::Duration};

const ID: &str = "2cf2a1a5-1a2b-4c3d-8e4f-0123456789ab";

/// A session with two audit images, of which those in `sent` came with content.
fn answer(sent: ImageSet, held: bool) -> SessionResponse {
    let image = |content: &'static [u8], sent: bool| proto::LivenessImage {
        content: if sent { content.into() } else { Default::default() },
        ..Default::default()
    };
    let (outcome, images) = SessionResult::split(proto::LivenessResult {
        session_id: ID.into(),
        status: LivenessStatus::Succeeded.into(),
        confidence: Some(99.0),
        reference_image: Some(image(b"reference", sent.reference)),
        audit_images: vec![image(b"one", sent.audit), image(b"two", sent.audit)],
        ..Default::default()
    });
    SessionResponse { result: Arc::new(outcome), images: held.then(|| Arc::new(images)) }
}

fn valid(images: ImageSet) -> ValidRequest {
    let session_id = SessionId::parse(ID).expect("a valid id");
    ValidRequest { session_id, images, min_confidence: Some(80.0), wait: None }
}

fn respond(answer: &SessionResponse, asked: ImageSet, may: ImageSet) -> Response {
    of(answer.clone(), &valid(asked), may, Instant::now(), None)
}

#[test]
fn image_content_says_what_became_of_the_images() {
    const AUDIT: ImageSet = ImageSet { reference: false, audit: true };
    let (none, reference, all) = (ImageSet::NONE, ImageSet::REFERENCE, ImageSet::ALL);
    for (what, sent, held, asked, may, expected) in [
        ("none asked for", all, true, none, all, ImageContent::Unspecified),
        ("reference is here", all, true, reference, all, ImageContent::Included),
        ("all are here", all, true, all, all, ImageContent::Included),
        ("AWS sent none", none, false, all, all, ImageContent::Absent),
        ("AWS sent no reference", AUDIT, true, reference, all, ImageContent::Absent),
        ("AWS sent only the reference, and it is here", reference, true, all, all, ImageContent::Included),
        ("held no more", all, false, all, all, ImageContent::Expired),
        ("server answers none", all, false, all, none, ImageContent::Withheld),
        ("server answers the reference only", all, true, all, reference, ImageContent::Withheld),
        ("server answers the reference only, which is held no more", all, false, all, reference, ImageContent::Expired),
        ("server answers what was asked for", all, true, reference, reference, ImageContent::Included),
    ] {
        let response = respond(&answer(sent, held), asked, may);
        assert_eq!(response.message.image_content(), expected, "{what}");
    }
}

#[test]
fn a_view_gets_its_images_and_no_others() {
    let contents = |asked, may| {
        let result = respond(&answer(ImageSet::ALL, true), asked, may).message.result.expect("a result");
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
    let size = |asked, may| image_bytes(&answer(ImageSet::ALL, true), &valid(asked), may);
    assert_eq!(size(ImageSet::ALL, ImageSet::ALL), "reference".len() + "one".len() + "two".len());
    assert_eq!(size(ImageSet::ALL, ImageSet::REFERENCE), "reference".len());
    assert_eq!(size(ImageSet::ALL, ImageSet::NONE), 0);
    assert_eq!(size(ImageSet::NONE, ImageSet::ALL), 0);
}

#[test]
fn a_response_shares_the_content_of_images_with_the_cache() {
    let answer = answer(ImageSet::ALL, true);
    let result = respond(&answer, ImageSet::REFERENCE, ImageSet::ALL).message.result.expect("a result");
    let cached = answer.images.expect("images").reference.as_ptr();
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
        let (outcome, images) = SessionResult::split(result.clone());
        let size = images.size();
        let answer = SessionResponse { result: Arc::new(outcome), images: Some(Arc::new(images)) };
        prop_assert_eq!(image_bytes(&answer, &valid(ImageSet::ALL), ImageSet::ALL), size);
        prop_assert_eq!(respond(&answer, ImageSet::ALL, ImageSet::ALL).message.result, Some(result));
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
        assert_eq!(verdict(&result, Some(80.0)), expected, "{status:?} {confidence:?}");
        assert_eq!(verdict(&result, None), Verdict::Unspecified, "{status:?} {confidence:?}");
    }
}

proptest! {
    #[test]
    fn nobody_is_live_below_the_threshold(status in 0..=6, confidence: Option<f32>, threshold in 1.1f32..=100.0) {
        let result = proto::LivenessResult { status, confidence, ..Default::default() };
        let live = verdict(&result, Some(threshold)) == Verdict::Live;
        let should = status == LivenessStatus::Succeeded as i32 && confidence.is_some_and(|score| score >= threshold);
        prop_assert_eq!(live, should);
    }
}

#[test]
fn the_source_is_upstream_when_the_read_ended_after_the_request_had_come() {
    let before = Instant::now();
    let answer = answer(ImageSet::NONE, false);
    let valid = ValidRequest {
        session_id: SessionId::parse(ID).expect("a valid id"),
        images: ImageSet::NONE,
        min_confidence: None,
        wait: None,
    };
    let source = |asked| of(answer.clone(), &valid, ImageSet::ALL, asked, None).message.source();
    assert_eq!(source(before), proto::Source::Upstream);
    assert_eq!(source(Instant::now() + Duration::from_millis(1)), proto::Source::Cache);
}
