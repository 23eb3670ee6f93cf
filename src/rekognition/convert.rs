//! Validates AWS's output and converts it to the contract's message.
//!
//! The SDK accepts an empty 200, the result of another session and an infinite confidence. They are
//! rejected here, before they are cached or returned.

use crate::{
    error::{Error, Reason, sanitized, sanitized_request_id},
    proto,
};
use aws_sdk_rekognition::{
    operation::{RequestId, get_face_liveness_session_results::GetFaceLivenessSessionResultsOutput},
    types::{AuditImage, BoundingBox, FeedbackItem, LivenessSessionStatus, S3Object},
};

/// The SDK's value of a required enum that AWS did not send.
const NO_VALUE: &str = "no value was set";

/// How far a confidence may be outside its range. AWS's arithmetic can yield 100.0000076.
const CONFIDENCE_TOLERANCE: f32 = 0.001;

/// Returns the contract's message for `output`, with image content.
///
/// # Errors
/// UPSTREAM_MALFORMED if `output` is empty, of another session, has no printable status, or has a
/// confidence that is not a number from 0 to 100, within [`CONFIDENCE_TOLERANCE`].
pub fn liveness_result(
    session_id: &str,
    output: GetFaceLivenessSessionResultsOutput,
) -> Result<proto::LivenessResult, Error> {
    let valid = -CONFIDENCE_TOLERANCE..=100.0 + CONFIDENCE_TOLERANCE;
    let is_valid_confidence = output.confidence.is_none_or(|score| valid.contains(&score));
    // A status without a valid character could not be returned.
    let has_status = output.status.as_str() != NO_VALUE && !sanitized(output.status.as_str()).is_empty();
    if output.session_id != session_id || !has_status || !is_valid_confidence {
        let mut error = Error::new(Reason::UpstreamMalformed);
        error.aws_request_id = output.request_id().map(sanitized_request_id).filter(|id| !id.is_empty());
        return Err(error);
    }
    let status = status(&output.status);
    Ok(proto::LivenessResult {
        unrecognized_status: match status {
            proto::LivenessStatus::Unspecified => sanitized(output.status.as_str()),
            _ => String::new(),
        },
        session_id: output.session_id,
        status: status.into(),
        confidence: output.confidence.map(|score| score.clamp(0.0, 100.0)),
        reference_image: output.reference_image.map(image),
        audit_images: output.audit_images.unwrap_or_default().into_iter().map(image).collect(),
        challenge: output
            .challenge
            .map(|challenge| proto::Challenge { r#type: text(challenge.r#type.as_str()), version: challenge.version }),
        feedback: output.feedback.unwrap_or_default().into_iter().map(feedback).collect(),
        metadata: output.metadata.map(|metadata| proto::SessionMetadata { sdk_type: metadata.sdk_type }),
    })
}

fn status(status: &LivenessSessionStatus) -> proto::LivenessStatus {
    match status {
        LivenessSessionStatus::Created => proto::LivenessStatus::Created,
        LivenessSessionStatus::InProgress => proto::LivenessStatus::InProgress,
        LivenessSessionStatus::Succeeded => proto::LivenessStatus::Succeeded,
        LivenessSessionStatus::Failed => proto::LivenessStatus::Failed,
        LivenessSessionStatus::Expired => proto::LivenessStatus::Expired,
        // AWS has added a status before: EXPIRED did not exist at launch.
        _ => proto::LivenessStatus::Unspecified,
    }
}

fn text(text: &str) -> String {
    if text == NO_VALUE { String::new() } else { text.to_owned() }
}

fn feedback(item: FeedbackItem) -> proto::Feedback {
    proto::Feedback { code: text(item.code.as_str()), message: item.message }
}

fn image(image: AuditImage) -> proto::LivenessImage {
    proto::LivenessImage {
        content: image.bytes.map(|blob| blob.into_inner().into()).unwrap_or_default(),
        s3_object: image.s3_object.map(s3_object),
        bounding_box: image.bounding_box.and_then(bounding_box),
    }
}

fn s3_object(object: S3Object) -> proto::S3Object {
    proto::S3Object {
        bucket: object.bucket.unwrap_or_default(),
        name: object.name.unwrap_or_default(),
        version: object.version.unwrap_or_default(),
    }
}

/// Converts a bounding box. One that lacks a side or is not finite is omitted. The result is still
/// valid: the box decides nothing, and the result may be the only copy.
fn bounding_box(sides: BoundingBox) -> Option<proto::BoundingBox> {
    let finite = |side: Option<f32>| side.filter(|ratio| ratio.is_finite());
    Some(proto::BoundingBox {
        width: finite(sides.width)?,
        height: finite(sides.height)?,
        left: finite(sides.left)?,
        top: finite(sides.top)?,
    })
}

#[cfg(test)]
mod tests;
