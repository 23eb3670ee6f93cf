//! The body of `GetFaceLivenessSessionResults`: which members there are in which status, and their names.
//!
//! Members are as in
//! <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_GetFaceLivenessSessionResults.html>. A status
//! other than SUCCEEDED must never come with a confidence or an image.

use bytes::Bytes;
use serde::Serialize;

use crate::{
    album::{Album, Picture},
    challenge::Challenge,
    feedback::Feedback,
    portrait::{BoundingBox, Portrait},
    session::{ImageStore, Outcome, Session, Status},
};

/// AWS's limit for audit images.
const MOST_AUDIT_IMAGES: u8 = 4;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
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
    bytes: Option<&'a str>,
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

/// The answer for a session in that status, as JSON.
pub(crate) async fn body(session: &Session, status: &Status, album: &Album) -> Bytes {
    let succeeded = *status == Status::Succeeded;
    let completed = succeeded || *status == Status::Failed;
    let audit_images = session.audit_images.min(MOST_AUDIT_IMAGES);
    let pictures = match session.images {
        ImageStore::Inline if succeeded => Some(album.pictures(&session.id, audit_images).await),
        _ => None,
    };
    let mut images = match (&session.images, &pictures) {
        _ if !succeeded => Vec::new(),
        (ImageStore::Inline, pictures) => pictures.iter().flat_map(|all| all.iter()).map(inline).collect(),
        (ImageStore::S3 { bucket, prefix, version }, _) => {
            let object = |number| s3_image(session, number, bucket, prefix, version.as_deref());
            (0..=audit_images).map(object).collect()
        }
        (ImageStore::None, _) => Vec::new(),
    }
    .into_iter();
    let answer = Answer {
        session_id: &session.id,
        status: status.as_str(),
        confidence: match session.outcome {
            Outcome::Succeeded { confidence } if succeeded => confidence,
            _ => None,
        },
        reference_image: images.next(),
        audit_images: succeeded.then(|| images.collect()),
        challenge: session.challenge.as_ref(),
        feedback: succeeded.then_some(session.feedback.as_slice()),
        metadata: session.sdk_type.as_deref().filter(|_| completed).map(|sdk_type| Metadata { sdk_type }),
    };
    serde_json::to_vec(&answer).expect("strings, numbers and lists always become JSON").into()
}

fn inline(picture: &Picture) -> Image<'_> {
    Image { bytes: Some(&picture.base64), s3_object: None, bounding_box: picture.bounding_box }
}

fn s3_image<'a>(session: &Session, number: u8, bucket: &'a str, prefix: &str, version: Option<&'a str>) -> Image<'a> {
    let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
    let file = if number == 0 { "reference.jpg".to_owned() } else { format!("audit-{number}.jpg") };
    let name = format!("{prefix}{slash}{}/{file}", session.id);
    Image {
        bytes: None,
        s3_object: Some(S3Object { bucket, name, version }),
        bounding_box: Portrait::of(&session.id, number).bounding_box(),
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde_json::{Value, json};

    use super::*;
    use crate::{FeedbackCode, audit_image, reference_image};

    async fn answer(session: &Session, status: Status) -> Value {
        serde_json::from_slice(&body(session, &status, &Album::default()).await).unwrap()
    }

    fn members(answer: &Value) -> Vec<&str> {
        answer.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[tokio::test]
    async fn only_success_has_a_confidence_and_images() {
        let session = Session { audit_images: 1, ..Session::new("s") };
        for status in [Status::Created, Status::InProgress, Status::Expired, Status::Other("REVIEW".into())] {
            assert_eq!(members(&answer(&session, status).await), ["Challenge", "SessionId", "Status"]);
        }
        assert_eq!(members(&answer(&session, Status::Failed).await), ["Challenge", "Metadata", "SessionId", "Status"]);
        assert_eq!(answer(&session, Status::Succeeded).await.as_object().unwrap().len(), 8);
    }

    #[tokio::test]
    async fn inline_images_are_those_of_the_session() {
        let session = Session { audit_images: 9, ..Session::new("s") };
        let answer = answer(&session, Status::Succeeded).await;
        let bytes = |image: &Value| BASE64_STANDARD.decode(image["Bytes"].as_str().unwrap()).unwrap();
        let (expected, bounding_box) = reference_image("s");
        assert_eq!(bytes(&answer["ReferenceImage"]), expected);
        let said = &answer["ReferenceImage"]["BoundingBox"];
        let side = |name: &str| said[name].as_f64().unwrap() as f32;
        let BoundingBox { width, height, left, top } = bounding_box;
        assert_eq!([side("Width"), side("Height"), side("Left"), side("Top")], [width, height, left, top]);
        let audit = answer["AuditImages"].as_array().unwrap();
        assert_eq!(audit.len(), 4);
        assert_eq!(bytes(&audit[1]), audit_image("s", 2).0);
    }

    #[tokio::test]
    async fn images_can_go_to_a_bucket_or_nowhere() {
        let images = ImageStore::S3 { bucket: "bucket".into(), prefix: "a/b".into(), version: Some("v1".into()) };
        let stored = answer(&Session { images, audit_images: 1, ..Session::new("s") }, Status::Succeeded).await;
        let object = |name| json!({"Bucket": "bucket", "Name": name, "Version": "v1"});
        assert_eq!(stored["ReferenceImage"]["S3Object"], object("a/b/s/reference.jpg"));
        assert_eq!(stored["AuditImages"][0]["S3Object"], object("a/b/s/audit-1.jpg"));
        assert_eq!(stored["ReferenceImage"].get("Bytes"), None);
        let without = answer(&Session { images: ImageStore::None, ..Session::new("s") }, Status::Succeeded).await;
        assert_eq!((without.get("ReferenceImage"), &without["AuditImages"]), (None, &json!([])));
    }

    #[tokio::test]
    async fn feedback_challenge_and_metadata_have_their_aws_names() {
        let feedback = vec![Feedback { code: FeedbackCode::EyesClosedDetected, message: "Eyes open!".into() }];
        let session = Session { feedback, images: ImageStore::None, ..Session::new("s") };
        let answer = answer(&session, Status::Succeeded).await;
        assert_eq!(answer["Feedback"], json!([{"Code": "EYES_CLOSED_DETECTED", "Message": "Eyes open!"}]));
        assert_eq!(answer["Challenge"], json!({"Type": "FaceMovementAndLightChallenge", "Version": "2.0.0"}));
        assert_eq!(answer["Metadata"], json!({"SDKType": "simulator"}));
    }
}
