//! An answer takes the contract's shape: what the view asked for, what is known of the rest, and the verdict.

use super::Question;
use crate::{
    proto,
    results::{Answer, ImageSet, Images, Outcome},
};
use std::sync::Arc;
use tokio::time::Instant;
use tonic::codegen::Bytes;

/// A GetLivenessResultResponse, whose result and faces are the cache's own: a hit copies nothing.
pub struct Response {
    pub outcome: Arc<Outcome>,
    /// All but the result.
    pub rest: proto::GetLivenessResultResponse,
    images: Option<Arc<Images>>,
    allowed: ImageSet,
}

/// The response to a `question` that came at `asked`, with no other images than those that may be answered.
pub fn of(answer: Answer, question: &Question, may_be_answered: ImageSet, asked: Instant) -> Response {
    let Answer { outcome, images } = answer;
    let allowed = question.images.and(outcome.sent).and(may_be_answered);
    let images = images.filter(|_| !allowed.is_empty());
    let rest = proto::GetLivenessResultResponse {
        verdict: verdict(&outcome.result, question.min_confidence).into(),
        result: None,
        applied_min_confidence: question.min_confidence,
        read_time: Some(outcome.read_time.into()),
        expire_time: outcome.expire_time().map(Into::into),
        image_content: image_content(question.images, &outcome, allowed, images.is_some()).into(),
        image_expire_time: outcome.image_expire_time().map(Into::into),
        source: match (outcome.arrived >= asked, outcome.is_shared) {
            (false, _) => proto::Source::Cache.into(),
            (true, false) => proto::Source::Upstream.into(),
            (true, true) => proto::Source::SharedCache.into(),
        },
    };
    Response { outcome, rest, images, allowed }
}

impl Response {
    /// The status for a log, AWS's own word for one that this version does not know.
    pub fn status_name(&self) -> &str {
        match &self.outcome.result {
            result if !result.unrecognized_status.is_empty() => &result.unrecognized_status,
            result => result.status().as_str_name(),
        }
    }

    pub fn source_name(&self) -> &'static str {
        self.rest.source().as_str_name()
    }

    /// How many bytes of faces leave the service with it.
    pub fn image_bytes(&self) -> usize {
        self.reference().map_or(0, Bytes::len) + self.audit().iter().map(Bytes::len).sum::<usize>()
    }

    /// The content of the reference image, and of each audit image, as far as it is in the answer.
    pub fn reference(&self) -> Option<&Bytes> {
        self.images.as_ref().filter(|_| self.allowed.reference).map(|images| &images.reference)
    }

    pub fn audit(&self) -> &[Bytes] {
        self.images.as_ref().filter(|_| self.allowed.audit).map_or(&[], |images| &images.audit)
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
