//! AWS's answer becomes the contract's message, once it has proved to be a result.
//!
//! The SDK accepts an empty 200, another session's answer and an infinite confidence without a
//! word, so whatever is not a well-formed answer about the session that was asked for ends here,
//! before anything could cache or believe it.

use crate::{
    error::{Error, Reason, cleaned, cleaned_request_id},
    proto,
};
use aws_sdk_rekognition::{
    operation::{RequestId, get_face_liveness_session_results::GetFaceLivenessSessionResultsOutput},
    types::{AuditImage, BoundingBox, FeedbackItem, LivenessSessionStatus, S3Object},
};

/// What the SDK puts in place of a required enum that AWS did not send.
const NO_VALUE: &str = "no value was set";

/// The contract's message for `output`, image content included.
///
/// # Errors
/// UPSTREAM_MALFORMED when `output` is not a result of `session_id`: empty, another session's,
/// without a legible status, or with a confidence that is not a number from 0 to 100.
pub fn liveness_result(
    session_id: &str,
    output: GetFaceLivenessSessionResultsOutput,
) -> Result<proto::LivenessResult, Error> {
    let confidence_is_sound = output.confidence.is_none_or(|score| (0.0..=100.0).contains(&score));
    // A status of which the caller could not be told a letter is none.
    let has_status = output.status.as_str() != NO_VALUE && !cleaned(output.status.as_str()).is_empty();
    if output.session_id != session_id || !has_status || !confidence_is_sound {
        let mut error = Error::new(Reason::UpstreamMalformed);
        error.aws_request_id = output.request_id().map(cleaned_request_id).filter(|id| !id.is_empty());
        return Err(error);
    }
    let status = status(&output.status);
    Ok(proto::LivenessResult {
        unrecognized_status: match status {
            proto::LivenessStatus::Unspecified => cleaned(output.status.as_str()),
            _ => String::new(),
        },
        session_id: output.session_id,
        status: status.into(),
        confidence: output.confidence,
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
        // AWS has added a status before (EXPIRED was not there at launch).
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

/// A box that lacks a side or is not finite is no box. It is left out rather than taken for a
/// broken answer: nothing is decided by it, and the result may be the only one there is.
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
