//! Builds the response: the images of the requested view, the times, and the verdict.

use super::{ImagePermit, valid_request::ValidRequest};
use crate::{
    proto,
    results::{ImageSet, Images, SessionResponse, SessionResult},
};
use tokio::time::Instant;
use tonic::codegen::Bytes;

/// A response, and what of it is recorded.
pub struct Response {
    pub message: proto::GetLivenessResultResponse,
    /// Its share of the image budget, if there is image content in it.
    permit: Option<ImagePermit>,
}

/// The size of all image content in the response. `server_images` are those that the server may
/// return at all.
pub fn image_bytes(answer: &SessionResponse, valid: &ValidRequest, server_images: ImageSet) -> usize {
    let allowed = valid.images.and(answer.result.sent).and(server_images);
    let Some(images) = answer.images.as_ref().filter(|_| !allowed.is_empty()) else { return 0 };
    let reference = images.reference.len() * usize::from(allowed.reference);
    let audit = images.audit.iter().map(Bytes::len).sum::<usize>() * usize::from(allowed.audit);
    reference + audit
}

/// Builds the response to a request that arrived at `arrival`, with no images but `server_images`.
/// `permit` is its share of the image budget, if it contains images.
pub fn of(
    answer: SessionResponse,
    valid: &ValidRequest,
    server_images: ImageSet,
    arrival: Instant,
    permit: Option<ImagePermit>,
) -> Response {
    let SessionResponse { result: outcome, images } = answer;
    let allowed = valid.images.and(outcome.sent).and(server_images);
    let images = images.filter(|_| !allowed.is_empty());
    let mut result = outcome.message.clone();
    if let Some(images) = &images {
        fill(&mut result, images, allowed);
    }
    let message = proto::GetLivenessResultResponse {
        verdict: verdict(&result, valid.min_confidence).into(),
        result: Some(result),
        applied_min_confidence: valid.min_confidence,
        read_time: Some(outcome.read_time.into()),
        expire_time: outcome.expire_time().map(Into::into),
        image_content: image_content(valid.images, &outcome, allowed, images.is_some()).into(),
        image_expire_time: outcome.image_expire_time().map(Into::into),
        source: match (outcome.arrived >= arrival, outcome.is_shared) {
            (false, _) => proto::Source::Cache.into(),
            (true, false) => proto::Source::Upstream.into(),
            (true, true) => proto::Source::SharedCache.into(),
        },
    };
    Response { message, permit }
}

/// Sets the content of the images that are allowed. Nothing is copied.
fn fill(result: &mut proto::LivenessResult, images: &Images, allowed: ImageSet) {
    if let Some(image) = result.reference_image.as_mut().filter(|_| allowed.reference) {
        image.content = images.reference.clone();
    }
    if allowed.audit {
        for (image, content) in result.audit_images.iter_mut().zip(&images.audit) {
            image.content = content.clone();
        }
    }
}

impl Response {
    /// The response as tonic sends it. The extensions have its share of the image budget.
    pub fn into_tonic(self) -> tonic::Response<proto::GetLivenessResultResponse> {
        let mut response = tonic::Response::new(self.message);
        if let Some(permit) = self.permit {
            response.extensions_mut().insert(permit);
        }
        response
    }

    /// The status for a log: AWS's own, if this version does not know it.
    pub fn status_name(&self) -> &str {
        match &self.message.result {
            Some(result) if !result.unrecognized_status.is_empty() => &result.unrecognized_status,
            Some(result) => result.status().as_str_name(),
            None => proto::LivenessStatus::Unspecified.as_str_name(),
        }
    }

    pub fn status_number(&self) -> i32 {
        self.message.result.as_ref().map_or(0, |result| result.status)
    }

    pub const fn has_images(&self) -> bool {
        self.permit.is_some()
    }

    pub fn source_name(&self) -> &'static str {
        self.message.source().as_str_name()
    }
}

fn image_content(
    requested: ImageSet,
    outcome: &SessionResult,
    allowed: ImageSet,
    is_cached: bool,
) -> proto::ImageContent {
    let wanted = requested.and(outcome.sent);
    if requested.is_empty() {
        proto::ImageContent::Unspecified
    } else if wanted.is_empty() {
        proto::ImageContent::Absent
    } else if !allowed.is_empty() && !is_cached {
        proto::ImageContent::Expired
    } else if allowed != wanted {
        proto::ImageContent::Withheld
    } else {
        proto::ImageContent::Included
    }
}

/// Returns the verdict. SUCCEEDED alone means analyzed, and a missing confidence is not a low one.
fn verdict(result: &proto::LivenessResult, min_confidence: Option<f32>) -> proto::Verdict {
    let Some(threshold) = min_confidence else { return proto::Verdict::Unspecified };
    match (result.status(), result.confidence) {
        (proto::LivenessStatus::Succeeded, Some(confidence)) if confidence >= threshold => proto::Verdict::Live,
        (proto::LivenessStatus::Succeeded, Some(_)) => proto::Verdict::NotLive,
        (status, _) if status.is_terminal() => proto::Verdict::Inconclusive,
        _ => proto::Verdict::Pending,
    }
}

#[cfg(test)]
mod tests;
