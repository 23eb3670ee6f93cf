//! An answer takes the contract's shape: what the view asked for, what is known of the rest, and the verdict.

use super::Question;
use crate::{
    proto,
    results::{Answer, ImageSet, Images, Outcome},
};
use tokio::time::Instant;

/// The response to a `question` that came at `asked`, with no other images than those that may be answered. Image content is shared with the cache, not copied.
pub fn of(
    answer: &Answer,
    question: &Question,
    may_be_answered: ImageSet,
    asked: Instant,
) -> proto::GetLivenessResultResponse {
    let outcome = &*answer.outcome;
    let wanted = question.images.and(outcome.sent);
    let allowed = wanted.and(may_be_answered);
    let images = answer.images.as_deref().filter(|_| !allowed.is_empty());
    let mut result = outcome.result.clone();
    if let Some(images) = images {
        put_content(&mut result, images, allowed);
    }
    proto::GetLivenessResultResponse {
        verdict: verdict(&outcome.result, question.min_confidence).into(),
        result: Some(result),
        applied_min_confidence: question.min_confidence,
        read_time: Some(outcome.read_time.into()),
        expire_time: outcome.expire_time().map(Into::into),
        image_content: image_content(question.images, outcome, allowed, images.is_some()).into(),
        image_expire_time: outcome.image_expire_time().map(Into::into),
        source: match (outcome.arrived >= asked, outcome.is_shared) {
            (false, _) => proto::Source::Cache.into(),
            (true, false) => proto::Source::Upstream.into(),
            (true, true) => proto::Source::SharedCache.into(),
        },
    }
}

/// The status for a log, AWS's own word for one that this version does not know.
pub fn status_name(response: &proto::GetLivenessResultResponse) -> &str {
    match &response.result {
        Some(result) if !result.unrecognized_status.is_empty() => &result.unrecognized_status,
        Some(result) => result.status().as_str_name(),
        None => proto::LivenessStatus::Unspecified.as_str_name(),
    }
}

/// How many bytes of faces leave the service with it.
pub fn image_bytes(response: &proto::GetLivenessResultResponse) -> usize {
    let images = response.result.iter().flat_map(|result| result.reference_image.iter().chain(&result.audit_images));
    images.map(|image| image.content.len()).sum()
}

fn put_content(result: &mut proto::LivenessResult, images: &Images, allowed: ImageSet) {
    if let Some(reference) = result.reference_image.as_mut().filter(|_| allowed.reference) {
        reference.content = images.reference.clone();
    }
    if allowed.audit {
        for (image, content) in result.audit_images.iter_mut().zip(&images.audit) {
            image.content = content.clone();
        }
    }
}

fn image_content(asked: ImageSet, outcome: &Outcome, allowed: ImageSet, held: bool) -> proto::ImageContent {
    let wanted = asked.and(outcome.sent);
    if asked.is_empty() {
        proto::ImageContent::Unspecified
    } else if wanted.is_empty() {
        proto::ImageContent::Absent
    } else if !allowed.is_empty() && !held {
        proto::ImageContent::Expired
    } else if allowed != wanted {
        proto::ImageContent::Withheld
    } else {
        proto::ImageContent::Included
    }
}

/// What the result means. SUCCEEDED alone means analysed, and a missing confidence is not a low one.
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
