use super::*;
use aws_sdk_rekognition::{
    primitives::Blob,
    types::{Challenge, ChallengeType, FeedbackCode, SessionMetadata},
};
use proptest::prelude::*;

const ID: &str = "2cf2a1a5-1a2b-4c3d-8e4f-0123456789ab";

fn output(status: &str, confidence: Option<f32>) -> GetFaceLivenessSessionResultsOutput {
    let builder = GetFaceLivenessSessionResultsOutput::builder().session_id(ID).status(status.into());
    builder.set_confidence(confidence).build().expect("the required members are set")
}

fn converted(output: GetFaceLivenessSessionResultsOutput) -> Result<proto::LivenessResult, Reason> {
    liveness_result(ID, output).map_err(|error| error.reason)
}

#[test]
fn every_status_of_aws_has_a_status_of_the_contract() {
    for (aws, ours) in [
        ("CREATED", proto::LivenessStatus::Created),
        ("IN_PROGRESS", proto::LivenessStatus::InProgress),
        ("SUCCEEDED", proto::LivenessStatus::Succeeded),
        ("FAILED", proto::LivenessStatus::Failed),
        ("EXPIRED", proto::LivenessStatus::Expired),
    ] {
        let result = converted(output(aws, None)).expect("a result");
        assert_eq!((result.status(), result.unrecognized_status.as_str()), (ours, ""));
    }
}

#[test]
fn an_unknown_status_is_unspecified_and_named() {
    let result = converted(output("UNDER_REVIEW\n\"", None)).expect("a result");
    assert_eq!(result.status(), proto::LivenessStatus::Unspecified);
    assert_eq!(result.unrecognized_status, "UNDER_REVIEW");
}

#[test]
fn all_fields_are_converted() {
    let sides = BoundingBox::builder().width(0.4).height(0.5).left(-0.1).top(1.1).build();
    let object = S3Object::builder().bucket("faces").name("a/b.jpg").version("v1").build();
    let inline = AuditImage::builder().bytes(Blob::new(*b"jpeg")).bounding_box(sides).build();
    let stored = AuditImage::builder().s3_object(object).build();
    let mut full = output("SUCCEEDED", Some(99.5));
    full.reference_image = Some(inline);
    full.audit_images = Some(vec![stored]);
    full.challenge = Some(
        Challenge::builder().r#type(ChallengeType::FaceMovementChallenge).version("1.0.0").build().expect("complete"),
    );
    full.feedback = Some(vec![
        FeedbackItem::builder().code(FeedbackCode::EyesClosedDetected).message("Open.").build().expect("complete"),
    ]);
    full.metadata = Some(SessionMetadata::builder().sdk_type("FaceLivenessDetectorWeb").build().expect("complete"));

    let expected = proto::LivenessResult {
        session_id: ID.into(),
        status: proto::LivenessStatus::Succeeded.into(),
        confidence: Some(99.5),
        reference_image: Some(proto::LivenessImage {
            content: b"jpeg".as_slice().into(),
            s3_object: None,
            bounding_box: Some(proto::BoundingBox { width: 0.4, height: 0.5, left: -0.1, top: 1.1 }),
        }),
        audit_images: vec![proto::LivenessImage {
            content: Default::default(),
            s3_object: Some(proto::S3Object { bucket: "faces".into(), name: "a/b.jpg".into(), version: "v1".into() }),
            bounding_box: None,
        }],
        challenge: Some(proto::Challenge { r#type: "FaceMovementChallenge".into(), version: "1.0.0".into() }),
        feedback: vec![proto::Feedback { code: "EYES_CLOSED_DETECTED".into(), message: "Open.".into() }],
        metadata: Some(proto::SessionMetadata { sdk_type: "FaceLivenessDetectorWeb".into() }),
        unrecognized_status: String::new(),
    };
    assert_eq!(converted(full), Ok(expected));
}

#[test]
fn an_image_is_not_copied() {
    let bytes = vec![7; 1000];
    let address = bytes.as_ptr();
    let mut output = output("SUCCEEDED", Some(99.0));
    output.reference_image = Some(AuditImage::builder().bytes(Blob::new(bytes)).build());
    let result = converted(output).expect("a result");
    assert_eq!(result.reference_image.expect("an image").content.as_ptr(), address);
}

#[test]
fn output_that_is_no_result_of_this_session_is_malformed() {
    let empty = GetFaceLivenessSessionResultsOutput::builder().session_id("").status(NO_VALUE.into());
    let mut another = output("SUCCEEDED", Some(99.0));
    another.session_id = ID.replace('2', "3");
    let cases = [
        ("empty", empty.build().expect("the required members are set")),
        ("another session's", another),
        ("without a status", output(NO_VALUE, None)),
        ("with an empty status", output("", None)),
        ("with a status without letters", output("-?é", None)),
        ("not a number", output("SUCCEEDED", Some(f32::NAN))),
        ("infinite", output("SUCCEEDED", Some(f32::INFINITY))),
        ("above the scale", output("SUCCEEDED", Some(100.1))),
        ("below the scale", output("SUCCEEDED", Some(-0.1))),
    ];
    for (what, output) in cases {
        assert_eq!(converted(output), Err(Reason::UpstreamMalformed), "{what}");
    }
}

#[test]
fn an_incomplete_bounding_box_is_omitted() {
    let whole = BoundingBox::builder().width(0.4).height(0.5).left(0.1).top(0.2);
    assert!(bounding_box(whole.clone().build()).is_some());
    assert_eq!(bounding_box(whole.clone().set_top(None).build()), None);
    assert_eq!(bounding_box(whole.width(f32::INFINITY).build()), None);
}

proptest! {
    #[test]
    fn a_confidence_is_unchanged_or_the_output_is_malformed(score in prop_oneof![any::<f32>(), -0.01f32..=100.01]) {
        let is_valid = (-0.001..=100.001).contains(&score);
        match converted(output("SUCCEEDED", Some(score))) {
            Ok(result) => prop_assert!(result.confidence == Some(score.clamp(0.0, 100.0)) && is_valid),
            Err(reason) => prop_assert!(reason == Reason::UpstreamMalformed && !is_valid),
        }
    }

    #[test]
    fn a_bounding_box_is_unchanged_or_omitted(width: f32, height: f32, left: f32, top: f32) {
        let sides = BoundingBox::builder().width(width).height(height).left(left).top(top).build();
        let all_finite = [width, height, left, top].iter().all(|side| side.is_finite());
        prop_assert_eq!(bounding_box(sides), all_finite.then_some(proto::BoundingBox { width, height, left, top }));
    }
}
