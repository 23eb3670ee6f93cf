//! Builds the response: the images of the requested view, the times, and the verdict.

use super::{ImagePermit, valid_request::ValidRequest};
use crate::{
    proto,
    results::{ImageSet, Images, SessionResponse, SessionResult},
};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use tonic::codegen::Bytes;

/// A response of the RPC, before it is encoded.
pub struct Response {
    pub message: proto::GetLivenessResultResponse,
    /// Its share of the image budget, if there is image content in it.
    pub permit: Option<ImagePermit>,
}

/// What metrics, span and logs record of a response.
pub struct Summary {
    pub source: proto::Source,
    pub status: proto::LivenessStatus,
    pub verdict: proto::Verdict,
    /// AWS's own name of the status, if this version does not know it.
    unrecognized_status: String,
    pub has_images: bool,
}

/// Returns the size of the image content in the response, in bytes. `server_images` are the images
/// that this server returns at all.
pub fn image_bytes(session: &SessionResponse, valid: &ValidRequest, server_images: ImageSet) -> usize {
    let allowed = valid.images.and(session.result.sent).and(server_images);
    let Some(images) = session.images.as_ref().filter(|_| !allowed.is_empty()) else { return 0 };
    let reference = images.reference.len() * usize::from(allowed.reference);
    let audit = images.audit.iter().map(Bytes::len).sum::<usize>() * usize::from(allowed.audit);
    reference + audit
}

/// Builds the response to a request that arrived at `arrival`, with no images but `server_images`.
/// `permit` is its share of the image budget, if it contains images.
pub fn of(
    session: SessionResponse,
    valid: &ValidRequest,
    server_images: ImageSet,
    arrival: Instant,
    permit: Option<ImagePermit>,
) -> Response {
    let SessionResponse { result: session_result, images } = session;
    let allowed = valid.images.and(session_result.sent).and(server_images);
    let images = images.filter(|_| !allowed.is_empty());
    let mut result = session_result.message.clone();
    if let Some(images) = &images {
        fill(&mut result, images, allowed);
    }
    let message = proto::GetLivenessResultResponse {
        verdict: verdict(&session_result, valid).into(),
        result: Some(result),
        applied_min_confidence: valid.min_confidence,
        read_time: Some(timestamp(session_result.read_time)),
        expire_time: session_result.expire_time().map(timestamp),
        image_content: image_content(valid.images, &session_result, allowed, images.is_some()).into(),
        image_expire_time: session_result.image_expire_time().map(timestamp),
        source: match (session_result.arrived >= arrival, session_result.is_shared) {
            (false, _) => proto::Source::Cache.into(),
            (true, false) => proto::Source::Upstream.into(),
            (true, true) => proto::Source::SharedCache.into(),
        },
    };
    Response { message, permit }
}

/// Converts the time of a read. It is after 1970, so it needs no normalization.
fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    prost_types::Timestamp { seconds: since_epoch.as_secs() as i64, nanos: since_epoch.subsec_nanos() as i32 }
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
    pub fn summary(&self) -> Summary {
        let result = self.message.result.as_ref();
        Summary {
            source: self.message.source(),
            status: result.map_or(proto::LivenessStatus::Unspecified, proto::LivenessResult::status),
            verdict: self.message.verdict(),
            unrecognized_status: result.map(|result| result.unrecognized_status.clone()).unwrap_or_default(),
            has_images: self.permit.is_some(),
        }
    }
}

impl Summary {
    /// Returns the status for a log: AWS's own name, if this version does not know it.
    pub fn status_name(&self) -> &str {
        match self.unrecognized_status.is_empty() {
            true => self.status.as_str_name(),
            false => &self.unrecognized_status,
        }
    }
}

fn image_content(
    requested: ImageSet,
    session_result: &SessionResult,
    allowed: ImageSet,
    is_cached: bool,
) -> proto::ImageContent {
    let wanted = requested.and(session_result.sent);
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

/// Returns the verdict. Only a live result can be too old.
fn verdict(session_result: &SessionResult, valid: &ValidRequest) -> proto::Verdict {
    match session_result.message.verdict(valid.min_confidence) {
        proto::Verdict::Live if valid.max_result_age.is_some_and(|max_age| session_result.age() > max_age) => {
            proto::Verdict::TooOld
        }
        verdict => verdict,
    }
}

#[cfg(test)]
mod tests;
