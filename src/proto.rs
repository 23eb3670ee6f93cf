//! The generated contract, its final statuses, and `Debug` without personal data.
//!
//! These types are the model of the whole service. No other module is known here.

use std::fmt;

#[allow(missing_docs, reason = "the proto file has the documentation")]
mod generated {
    tonic::include_proto!("faceliveness.v1");
}

pub use generated::*;

/// gRPC's names of a method.
pub struct Method {
    /// Such as `faceliveness.v1.FaceLivenessService`.
    pub service: &'static str,
    pub name: &'static str,
    /// The service's name, a slash and the method's name.
    pub full_name: &'static str,
    /// The path of its HTTP requests.
    pub path: &'static str,
}

// `build.rs` generates the methods from the descriptor.
include!(concat!(env!("OUT_DIR"), "/faceliveness.v1.methods.rs"));

/// The contract and all its imports, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("faceliveness.v1");

impl LivenessStatus {
    /// Whether the status is final. A session is used once, so AWS's result can no longer change.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Expired => true,
            // A status that this version does not know may not be final.
            Self::Unspecified | Self::Created | Self::InProgress => false,
        }
    }
}

impl Verdict {
    /// Returns the verdict as metrics name it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Live => "live",
            Self::NotLive => "not_live",
            Self::Pending => "pending",
            Self::Inconclusive => "inconclusive",
            Self::TooOld => "too_old",
        }
    }
}

impl LivenessResult {
    /// Returns the verdict at a threshold. SUCCEEDED alone means analyzed, and a missing confidence
    /// is not a low one.
    pub fn verdict(&self, min_confidence: Option<f32>) -> Verdict {
        let Some(threshold) = min_confidence else { return Verdict::Unspecified };
        match (self.status(), self.confidence) {
            (LivenessStatus::Succeeded, Some(confidence)) if confidence >= threshold => Verdict::Live,
            (LivenessStatus::Succeeded, Some(_)) => Verdict::NotLive,
            (status, _) if status.is_terminal() => Verdict::Inconclusive,
            _ => Verdict::Pending,
        }
    }
}

// No `Debug` prints a face, a score, an S3 key or a session id. Most protobuf libraries of other
// languages ignore the contract's `debug_redact` and print them.

impl fmt::Debug for GetLivenessResultRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetLivenessResultRequest")
            .field("wait", &self.wait)
            .field("view", &self.view())
            .field("min_confidence", &self.min_confidence)
            .field("max_result_age", &self.max_result_age)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LivenessResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LivenessResult")
            .field("status", &self.status())
            .field("confidence", &self.confidence.map(|_| "redacted"))
            .field("reference_image", &self.reference_image)
            .field("audit_images", &self.audit_images)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LivenessImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LivenessImage")
            .field("content", &format_args!("{} bytes", self.content.len()))
            .field("s3_object", &self.s3_object)
            .field("bounding_box", &self.bounding_box)
            .finish()
    }
}

impl fmt::Debug for S3Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Object").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use prost_types::method_options::IdempotencyLevel;

    #[test]
    fn only_a_status_that_cannot_change_is_final() {
        let terminal = (0..=5)
            .filter_map(|number| LivenessStatus::try_from(number).ok())
            .filter(|status| status.is_terminal())
            .map(|status| status.as_str_name());
        assert_eq!(
            terminal.collect::<Vec<_>>(),
            ["LIVENESS_STATUS_SUCCEEDED", "LIVENESS_STATUS_FAILED", "LIVENESS_STATUS_EXPIRED"]
        );
    }

    /// `buf.yaml` excludes the rule that would keep it.
    #[test]
    fn the_method_is_declared_idempotent() {
        let files = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("build.rs encoded it").file;
        let mut methods = files.into_iter().flat_map(|file| file.service).flat_map(|service| service.method);
        let method = methods.find(|method| method.name() == GET_LIVENESS_RESULT.name).expect("the method");
        assert_eq!(method.options.expect("options").idempotency_level(), IdempotencyLevel::Idempotent);
    }

    #[test]
    fn debug_output_contains_no_personal_data() {
        let response = GetLivenessResultResponse {
            result: Some(LivenessResult {
                session_id: "2cf2a1a5-1a2b-4c3d-8e4f-0123456789ab".into(),
                confidence: Some(87.654),
                reference_image: Some(LivenessImage {
                    content: b"FACEFACE".as_slice().into(),
                    s3_object: Some(S3Object {
                        bucket: "b".into(),
                        name: "faces/of/you.jpg".into(),
                        version: "v9".into(),
                    }),
                    bounding_box: None,
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let printed = format!("{response:?}");
        for secret in ["2cf2a1a5", "87.6", "FACE", "70, 65", "of/you", "v9"] {
            assert!(!printed.contains(secret), "{secret} in {printed}");
        }
    }
}
