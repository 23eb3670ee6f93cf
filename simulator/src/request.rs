//! Parses and validates the two requests.
//!
//! Shapes are of API version 2016-06-27,
//! <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_CreateFaceLivenessSession.html>. Unknown
//! members are ignored, as AWS does. Nothing is looked up or stored here.

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    challenge::{Challenge, ChallengeType},
    session::{ImageStore, Outcome, Session},
    validate::{self, Violations},
    wire::ApiError,
};

const CHALLENGES: [&str; 2] = ["FaceMovementAndLightChallenge", "FaceMovementChallenge"];

/// The prefix of a `ClientRequestToken` that chooses the session's outcome.
const OUTCOME_PREFIX: &str = "outcome-";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReadRequest {
    session_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateRequest {
    kms_key_id: Option<String>,
    settings: Option<Settings>,
    client_request_token: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    output_config: Option<OutputConfig>,
    audit_images_limit: Option<i64>,
    challenge_preferences: Option<Vec<ChallengePreference>>,
}

#[derive(Deserialize)]
struct OutputConfig {
    #[serde(rename = "S3Bucket")]
    bucket: Option<String>,
    #[serde(rename = "S3KeyPrefix")]
    prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChallengePreference {
    r#type: Option<String>,
    versions: Option<Versions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versions {
    minimum: Option<String>,
    maximum: Option<String>,
}

/// A session to create, and the token that makes its creation idempotent.
#[derive(Debug)]
pub(crate) struct Creation {
    pub session: Session,
    pub token: Option<String>,
}

/// Parses a `GetFaceLivenessSessionResults` request, and returns its session id.
pub(crate) fn parse_read(body: &[u8]) -> Result<String, ApiError> {
    let ReadRequest { session_id } = parse(body)?;
    let mut violations = Violations::default();
    violations.check_required("sessionId", session_id.as_deref(), &validate::SESSION_ID);
    violations.into_result()?;
    Ok(session_id.unwrap_or_default())
}

/// Parses a `CreateFaceLivenessSession` request, and returns the session under the given id.
pub(crate) fn parse_creation(body: &[u8], id: String) -> Result<Creation, ApiError> {
    let request: CreateRequest = parse(body)?;
    let mut violations = Violations::default();
    request.check(&mut violations);
    violations.into_result()?;
    let CreateRequest { settings, client_request_token: token, .. } = request;
    let Settings { output_config, audit_images_limit, challenge_preferences } = settings.unwrap_or_default();
    let mut session = Session::new(id);
    // AWS's documentation: a value outside of 0 to 4 counts as the nearest one within.
    session.audit_images = audit_images_limit.unwrap_or(0).clamp(0, 4) as u8;
    if let Some(OutputConfig { bucket: Some(bucket), prefix }) = output_config {
        session.images = ImageStore::S3 { bucket, prefix: prefix.unwrap_or_default(), version: None };
    }
    if let Some(preferences) = challenge_preferences.filter(|preferences| !preferences.is_empty()) {
        session.challenge = Some(preferred_challenge(&preferences)?);
    }
    if let Some(outcome) = token.as_deref().and_then(|token| token.strip_prefix(OUTCOME_PREFIX)) {
        session.outcome = parse_outcome(outcome)?;
    }
    Ok(Creation { session, token })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // Serde accepts a list for a structure. AWS does not.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::serialization("The body must be a JSON object."));
    }
    serde_json::from_slice(body).map_err(|error| ApiError::serialization(error.to_string()))
}

impl CreateRequest {
    fn check(&self, violations: &mut Violations) {
        violations.check("kmsKeyId", self.kms_key_id.as_deref(), &validate::KMS_KEY_ID);
        let token = self.client_request_token.as_deref();
        violations.check("clientRequestToken", token, &validate::CLIENT_REQUEST_TOKEN);
        let Some(settings) = &self.settings else { return };
        if let Some(OutputConfig { bucket, prefix }) = &settings.output_config {
            violations.check_required("settings.outputConfig.s3Bucket", bucket.as_deref(), &validate::S3_BUCKET);
            violations.check("settings.outputConfig.s3KeyPrefix", prefix.as_deref(), &validate::S3_KEY_PREFIX);
        }
        for (at, preference) in settings.challenge_preferences.iter().flatten().enumerate() {
            let path = format!("settings.challengePreferences.{}.member", at + 1);
            violations.check_enum(&format!("{path}.type"), preference.r#type.as_deref(), &CHALLENGES);
            let Some(Versions { minimum, maximum }) = &preference.versions else { continue };
            violations.check(&format!("{path}.versions.minimum"), minimum.as_deref(), &validate::VERSION);
            violations.check(&format!("{path}.versions.maximum"), maximum.as_deref(), &validate::VERSION);
        }
    }
}

/// Returns the first preferred challenge whose version range includes the current version.
fn preferred_challenge(preferences: &[ChallengePreference]) -> Result<Challenge, ApiError> {
    let current = |preference: &ChallengePreference| {
        let kind = match preference.r#type.as_deref() {
            Some("FaceMovementChallenge") => ChallengeType::FaceMovementChallenge,
            _ => ChallengeType::FaceMovementAndLightChallenge,
        };
        let challenge = Challenge::of(kind);
        let version = validate::parse_version(&challenge.version)?;
        let Some(Versions { minimum, maximum }) = &preference.versions else { return Some(challenge) };
        let bound = |text: &Option<String>, open| text.as_deref().and_then(validate::parse_version).unwrap_or(open);
        (bound(minimum, [0; 3])..=bound(maximum, [u16::MAX; 3])).contains(&version).then_some(challenge)
    };
    let none_available = || ApiError::invalid_parameter("No preferred challenge is available in a version you accept.");
    preferences.iter().find_map(current).ok_or_else(none_available)
}

/// Parses the text after `outcome-`: `succeeded`, `failed`, `expired`, `pending` or
/// `confidence-<0..100>`, alone or followed by `-` and any text. Other names are rejected, because
/// they are typing errors.
fn parse_outcome(name: &str) -> Result<Outcome, ApiError> {
    let mut words = name.split('-');
    let outcome = match words.next() {
        Some("succeeded") => Some(Outcome::Succeeded { confidence: Some(99.0) }),
        Some("failed") => Some(Outcome::Failed),
        Some("expired") => Some(Outcome::Expired),
        Some("pending") => Some(Outcome::Pending),
        Some("confidence") => {
            let score = words.next().and_then(|word| word.parse::<u8>().ok()).filter(|score| *score <= 100);
            score.map(|score| Outcome::Succeeded { confidence: Some(f32::from(score)) })
        }
        _ => None,
    };
    outcome.ok_or_else(|| {
        ApiError::invalid_parameter(
            "A ClientRequestToken that begins with outcome- chooses how the simulated session ends and must go on \
             with succeeded, failed, expired, pending or confidence- and a whole number from 0 to 100.",
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn create(body: &Value) -> Result<Session, ApiError> {
        parse_creation(body.to_string().as_bytes(), "id".to_owned()).map(|creation| creation.session)
    }

    fn error_of(body: &Value) -> String {
        let error = create(body).unwrap_err();
        format!("{} {}", error.code, error.message.unwrap_or_default())
    }

    #[test]
    fn a_request_chooses_images_and_challenge() {
        let session = create(&json!({"KmsKeyId": "alias/a", "Settings": {
            "OutputConfig": {"S3Bucket": "bucket", "S3KeyPrefix": "p"},
            "AuditImagesLimit": 9,
            "ChallengePreferences": [
                {"Type": "FaceMovementAndLightChallenge", "Versions": {"Maximum": "1.5.0"}},
                {"Type": "FaceMovementChallenge"},
            ],
        }}))
        .unwrap();
        assert_eq!(session.images, ImageStore::S3 { bucket: "bucket".into(), prefix: "p".into(), version: None });
        assert_eq!(session.audit_images, 4);
        assert_eq!(session.challenge, Some(Challenge::of(ChallengeType::FaceMovementChallenge)));
        assert_eq!(create(&json!({"Settings": {"AuditImagesLimit": -1}})).unwrap().audit_images, 0);
    }

    #[test]
    fn a_token_chooses_the_outcome() {
        let outcome = |token: &str| create(&json!({"ClientRequestToken": token})).map(|session| session.outcome);
        assert_eq!(outcome("outcome-failed-1").unwrap(), Outcome::Failed);
        assert_eq!(outcome("outcome-expired").unwrap(), Outcome::Expired);
        assert_eq!(outcome("outcome-pending-a-b").unwrap(), Outcome::Pending);
        assert_eq!(outcome("outcome-confidence-12-a").unwrap(), Outcome::Succeeded { confidence: Some(12.0) });
        assert_eq!(outcome("mine").unwrap(), Session::new("id").outcome);
        for token in ["outcome-", "outcome-win", "outcome-confidence", "outcome-confidence-101", "outcome-failedx"] {
            assert_eq!(outcome(token).unwrap_err().code, "InvalidParameterException", "{token}");
        }
    }

    #[test]
    fn every_violation_names_its_member() {
        for (body, path) in [
            (json!({"KmsKeyId": ""}), "kmsKeyId"),
            (json!({"ClientRequestToken": "a b"}), "clientRequestToken"),
            (json!({"Settings": {"OutputConfig": {}}}), "settings.outputConfig.s3Bucket"),
            (
                json!({"Settings": {"OutputConfig": {"S3Bucket": "abc", "S3KeyPrefix": " "}}}),
                "settings.outputConfig.s3KeyPrefix",
            ),
            (
                json!({"Settings": {"ChallengePreferences": [{"Type": "Dance"}]}}),
                "settings.challengePreferences.1.member.type",
            ),
            (
                json!({"Settings": {"ChallengePreferences": [
                    {"Type": "FaceMovementChallenge", "Versions": {"Minimum": "one"}}
                ]}}),
                "settings.challengePreferences.1.member.versions.minimum",
            ),
        ] {
            let error = error_of(&body);
            assert!(error.starts_with("ValidationException "), "{error}");
            assert!(error.contains(&format!("at '{path}' failed")), "{error}");
        }
    }

    #[test]
    fn malformed_json_is_a_serialization_error() {
        for body in ["", "{", "[]", "null", r#"["a"]"#, r#"{"SessionId": 5}"#] {
            assert_eq!(parse_read(body.as_bytes()).unwrap_err().code, "SerializationException", "{body}");
        }
        assert_eq!(parse_read(b"{}").unwrap_err().code, "ValidationException");
        let id = "0123abcd-0000-4000-8000-0123456789ab";
        assert_eq!(parse_read(json!({"SessionId": id, "New": [1]}).to_string().as_bytes()).unwrap(), id);
    }
}
