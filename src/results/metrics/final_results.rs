//! The metrics of final results: how many there are, by status, verdict, challenge and SDK type,
//! and how many had each feedback code. No score is in them.
//!
//! AWS can add challenges and codes, and the user's device reports the SDK type. So each label has
//! the values of a table, and `other`.

use crate::{proto, telemetry::metrics::Registry};
use prometheus::{IntCounterVec, Opts};

const STATUSES: [(proto::LivenessStatus, &str); 3] = [
    (proto::LivenessStatus::Succeeded, "succeeded"),
    (proto::LivenessStatus::Failed, "failed"),
    (proto::LivenessStatus::Expired, "expired"),
];

/// <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_Challenge.html>
const CHALLENGES: [&str; 2] = ["FaceMovementAndLightChallenge", "FaceMovementChallenge"];

/// The value of AWS's SDK type, in lower case, contains the first word. AWS publishes no list.
const SDK_TYPES: [(&str, &str); 6] =
    [("android", "android"), ("ios", "ios"), ("swift", "ios"), ("web", "web"), ("javascript", "web"), ("react", "web")];

/// <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_FeedbackItem.html>
const FEEDBACK_CODES: [&str; 7] = [
    "FACE_NOT_VISIBLE",
    "FACE_OBSTRUCTION_DETECTED",
    "LOW_VIDEO_QUALITY_DETECTED",
    "FACE_NOT_ALIGNED",
    "EYES_CLOSED_DETECTED",
    "LOW_LIGHTING_DETECTED",
    "HIGH_LIGHTING_DETECTED",
];

/// A value that AWS did not send, and one that is in no table.
const NONE: &str = "none";
const OTHER: &str = "other";

pub struct FinalResults {
    /// The server's threshold.
    min_confidence: Option<f32>,
    results: IntCounterVec,
    feedback: IntCounterVec,
}

impl FinalResults {
    /// Registers the series that are possible with this threshold of the server.
    pub fn new(registry: &Registry, min_confidence: Option<f32>) -> Self {
        let results = Opts::new(
            "face_liveness_final_results_total",
            "Final results that this replica read from AWS, by status, verdict at --min-confidence, challenge and SDK type.",
        );
        let results = registry.register(IntCounterVec::new(results, &["status", "verdict", "challenge", "sdk_type"]));
        for (status, name) in STATUSES {
            for confidence in [None, Some(0.0), Some(100.0)] {
                let message = proto::LivenessResult { status: status.into(), confidence, ..Default::default() };
                let verdict = message.verdict(min_confidence).label();
                for challenge in CHALLENGES.into_iter().chain([NONE, OTHER]) {
                    for sdk_type in ["android", "ios", "web", NONE, OTHER] {
                        results.with_label_values(&[name, verdict, challenge, sdk_type]);
                    }
                }
            }
        }
        let codes: Vec<_> = FEEDBACK_CODES.into_iter().chain([OTHER]).collect();
        let feedback = registry.counters(
            "face_liveness_feedback_total",
            "Final results that this replica read from AWS and that have this feedback code.",
            ("code", &codes),
        );
        Self { min_confidence, results, feedback }
    }

    /// Counts the final result of a session.
    pub fn count(&self, result: &proto::LivenessResult) {
        let status = STATUSES.iter().find(|(status, _)| *status == result.status()).map_or(OTHER, |(_, name)| name);
        let verdict = result.verdict(self.min_confidence).label();
        let challenge = result.challenge.as_ref().map_or(NONE, |challenge| known(&CHALLENGES, &challenge.r#type));
        let sdk_type = result.metadata.as_ref().map_or(NONE, |metadata| sdk_type(&metadata.sdk_type));
        self.results.with_label_values(&[status, verdict, challenge, sdk_type]).inc();
        let mut codes: Vec<_> = result.feedback.iter().map(|feedback| known(&FEEDBACK_CODES, &feedback.code)).collect();
        codes.sort_unstable();
        codes.dedup();
        codes.into_iter().for_each(|code| self.feedback.with_label_values(&[code]).inc());
    }
}

/// Returns the value as the table has it.
fn known(table: &[&'static str], value: &str) -> &'static str {
    table.iter().find(|known| **known == value).copied().unwrap_or(OTHER)
}

fn sdk_type(value: &str) -> &'static str {
    let value = value.to_ascii_lowercase();
    SDK_TYPES.iter().find(|(word, _)| value.contains(word)).map_or(OTHER, |(_, platform)| platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn succeeded(confidence: f32, challenge: &str, sdk_type: &str, codes: &[&str]) -> proto::LivenessResult {
        proto::LivenessResult {
            status: proto::LivenessStatus::Succeeded.into(),
            confidence: Some(confidence),
            challenge: Some(proto::Challenge { r#type: challenge.into(), version: "2.0.0".into() }),
            metadata: Some(proto::SessionMetadata { sdk_type: sdk_type.into() }),
            feedback: codes.iter().map(|code| proto::Feedback { code: (*code).into(), ..Default::default() }).collect(),
            ..Default::default()
        }
    }

    fn series(registry: &Registry, name: &str) -> Vec<String> {
        registry.text().lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
    }

    #[test]
    fn values_from_outside_never_become_labels() {
        let registry = Registry::default();
        let metrics = FinalResults::new(&registry, Some(80.0));
        let before =
            (series(&registry, "face_liveness_final").len(), series(&registry, "face_liveness_feedback").len());
        for text in ["", "x", "FaceMovementChallenge2", "2cf2a1a5-1a2b-4c3d-8e4f-0123456789ab", "\"} 1\n"] {
            metrics.count(&succeeded(99.0, text, text, &[text]));
        }
        let all = registry.text();
        assert!(!all.contains("2cf2a1a5"), "{all}");
        let after = (series(&registry, "face_liveness_final").len(), series(&registry, "face_liveness_feedback").len());
        assert_eq!(after, before, "no series was added");
        let other = r#"challenge="other",sdk_type="other",status="succeeded",verdict="live"} 5"#;
        assert!(all.contains(other), "{all}");
        assert!(all.contains(r#"face_liveness_feedback_total{code="other"} 5"#), "{all}");
    }

    #[test]
    fn an_sdk_type_counts_as_its_platform() {
        for (value, expected) in [
            ("FaceLivenessDetectorWeb", "web"),
            ("JavaScript", "web"),
            ("react-liveness", "web"),
            ("amplify-ui-android", "android"),
            ("AmplifyUI_iOS", "ios"),
            ("Swift", "ios"),
            ("simulator", OTHER),
        ] {
            assert_eq!(sdk_type(value), expected, "{value}");
        }
    }

    #[test]
    fn a_result_counts_each_of_its_feedback_codes_once() {
        let registry = Registry::default();
        let metrics = FinalResults::new(&registry, None);
        let codes = ["LOW_LIGHTING_DETECTED", "FACE_NOT_ALIGNED", "LOW_LIGHTING_DETECTED"];
        metrics.count(&succeeded(99.0, CHALLENGES[0], "web", &codes));
        metrics.count(&proto::LivenessResult { status: proto::LivenessStatus::Failed.into(), ..Default::default() });
        let text = registry.text();
        for line in [
            r#"face_liveness_feedback_total{code="LOW_LIGHTING_DETECTED"} 1"#,
            r#"face_liveness_feedback_total{code="FACE_NOT_ALIGNED"} 1"#,
            r#"face_liveness_feedback_total{code="EYES_CLOSED_DETECTED"} 0"#,
            r#"{challenge="FaceMovementAndLightChallenge",sdk_type="web",status="succeeded",verdict="unspecified"} 1"#,
            r#"{challenge="none",sdk_type="none",status="failed",verdict="unspecified"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
