//! The response body of `GetFaceLivenessSessionResults`.
//!
//! Members and their names are as in
//! <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_GetFaceLivenessSessionResults.html>. Only
//! SUCCEEDED has a confidence and images.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::Serialize;

use crate::{
    challenge::Challenge,
    feedback::Feedback,
    portrait::{self, BoundingBox},
    session::{ImageStore, Outcome, Session, Status},
};

/// AWS's limit for audit images.
const MAX_AUDIT_IMAGES: u8 = 4;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Results<'a> {
    session_id: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_image: Option<Image<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_images: Option<Vec<Image<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<&'a Challenge>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feedback: Option<&'a [Feedback]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Image<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    #[serde(rename = "S3Object", skip_serializing_if = "Option::is_none")]
    s3_object: Option<S3Object<'a>>,
    bounding_box: BoundingBox,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct S3Object<'a> {
    bucket: &'a str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(rename = "SDKType")]
    sdk_type: &'a str,
}

/// Returns the JSON of a session in a status.
pub(crate) fn body(session: &Session, status: &Status) -> Bytes {
    let succeeded = *status == Status::Succeeded;
    let completed = succeeded || *status == Status::Failed;
    let audit_images = session.audit_images.min(MAX_AUDIT_IMAGES);
    let image = |number| match &session.images {
        ImageStore::Inline => Some(inline_image(session, number)),
        ImageStore::S3 { bucket, prefix, version } => {
            Some(s3_image(session, number, bucket, prefix, version.as_deref()))
        }
        ImageStore::None => None,
    };
    let results = Results {
        session_id: &session.id,
        status: status.as_str(),
        confidence: match session.outcome {
            Outcome::Succeeded { confidence } if succeeded => confidence,
            _ => None,
        },
        reference_image: succeeded.then(|| image(0)).flatten(),
        audit_images: succeeded.then(|| (1..=audit_images).filter_map(image).collect()),
        challenge: session.challenge.as_ref(),
        feedback: succeeded.then_some(session.feedback.as_slice()),
        metadata: session.sdk_type.as_deref().filter(|_| completed).map(|sdk_type| Metadata { sdk_type }),
    };
    serde_json::to_vec(&results).expect("strings, numbers and lists always become JSON").into()
}

fn inline_image(session: &Session, number: u8) -> Image<'static> {
    Image {
        bytes: Some(BASE64_STANDARD.encode(portrait::jpeg(&session.id, number))),
        s3_object: None,
        bounding_box: portrait::bounding_box(&session.id, number),
    }
}

fn s3_image<'a>(session: &Session, number: u8, bucket: &'a str, prefix: &str, version: Option<&'a str>) -> Image<'a> {
    let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
    let file = if number == 0 { "reference.jpg".to_owned() } else { format!("audit-{number}.jpg") };
    let name = format!("{prefix}{slash}{}/{file}", session.id);
    Image {
        bytes: None,
        s3_object: Some(S3Object { bucket, name, version }),
        bounding_box: portrait::bounding_box(&session.id, number),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::FeedbackCode;

    fn results(session: &Session, status: Status) -> Value {
        serde_json::from_slice(&body(session, &status)).unwrap()
    }

    fn members(results: &Value) -> Vec<&str> {
        results.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn only_success_has_a_confidence_and_images() {
        let session = Session { audit_images: 1, ..Session::new("s") };
        for status in [Status::Created, Status::InProgress, Status::Expired, Status::Other("REVIEW".into())] {
            assert_eq!(members(&results(&session, status)), ["Challenge", "SessionId", "Status"]);
        }
        assert_eq!(members(&results(&session, Status::Failed)), ["Challenge", "Metadata", "SessionId", "Status"]);
        assert_eq!(results(&session, Status::Succeeded).as_object().unwrap().len(), 8);
    }

    #[test]
    fn inline_images_belong_to_the_session() {
        let session = Session { audit_images: 9, ..Session::new("s") };
        let results = results(&session, Status::Succeeded);
        let bytes = |image: &Value| BASE64_STANDARD.decode(image["Bytes"].as_str().unwrap()).unwrap();
        assert_eq!(bytes(&results["ReferenceImage"]), portrait::jpeg("s", 0));
        let bounding_box = &results["ReferenceImage"]["BoundingBox"];
        let side = |name: &str| bounding_box[name].as_f64().unwrap() as f32;
        let BoundingBox { width, height, left, top } = portrait::bounding_box("s", 0);
        assert_eq!([side("Width"), side("Height"), side("Left"), side("Top")], [width, height, left, top]);
        let audit = results["AuditImages"].as_array().unwrap();
        assert_eq!(audit.len(), 4);
        assert_eq!(bytes(&audit[1]), portrait::jpeg("s", 2));
    }

    #[test]
    fn images_are_named_in_a_bucket_or_left_out() {
        let images = ImageStore::S3 { bucket: "bucket".into(), prefix: "a/b".into(), version: Some("v1".into()) };
        let stored = results(&Session { images, audit_images: 1, ..Session::new("s") }, Status::Succeeded);
        let object = |name| json!({"Bucket": "bucket", "Name": name, "Version": "v1"});
        assert_eq!(stored["ReferenceImage"]["S3Object"], object("a/b/s/reference.jpg"));
        assert_eq!(stored["AuditImages"][0]["S3Object"], object("a/b/s/audit-1.jpg"));
        assert_eq!(stored["ReferenceImage"].get("Bytes"), None);
        let without = results(&Session { images: ImageStore::None, ..Session::new("s") }, Status::Succeeded);
        assert_eq!((without.get("ReferenceImage"), &without["AuditImages"]), (None, &json!([])));
    }

    #[test]
    fn feedback_challenge_and_metadata_have_their_aws_names() {
        let feedback = vec![Feedback { code: FeedbackCode::EyesClosedDetected, message: "Eyes open!".into() }];
        let session = Session { feedback, images: ImageStore::None, ..Session::new("s") };
        let results = results(&session, Status::Succeeded);
        assert_eq!(results["Feedback"], json!([{"Code": "EYES_CLOSED_DETECTED", "Message": "Eyes open!"}]));
        assert_eq!(results["Challenge"], json!({"Type": "FaceMovementAndLightChallenge", "Version": "2.0.0"}));
        assert_eq!(results["Metadata"], json!({"SDKType": "simulator"}));
    }
}
