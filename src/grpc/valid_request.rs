//! Validates a request.

use crate::{
    config::{MIN_CONFIDENCE_RULE, is_min_confidence},
    error::Error,
    proto,
    results::ImageSet,
    session::SessionId,
};
use std::time::Duration;

/// A validated request.
#[derive(Clone, Debug)]
pub struct ValidRequest {
    pub session_id: SessionId,
    /// The images whose content is requested.
    pub images: ImageSet,
    /// The threshold of the verdict, if there is one.
    pub min_confidence: Option<f32>,
    /// How long to wait for a final result; None to return the current status.
    pub wait: Option<Duration>,
    /// The age of a result above which it no longer counts as live.
    pub max_result_age: Option<Duration>,
}

impl ValidRequest {
    /// Validates a request. `floor` is the server's own threshold: the default, and the least that
    /// a request gets. `max_wait` is the longest wait.
    ///
    /// # Errors
    /// INVALID_REQUEST, with every field that is malformed.
    pub fn of(
        request: &proto::GetLivenessResultRequest,
        floor: Option<f32>,
        max_wait: Duration,
    ) -> Result<Self, Error> {
        let session_id = SessionId::parse(&request.session_id).ok_or_else(|| {
            Error::invalid(
                "session_id",
                "must be a UUID of 36 characters in lower-case hex, as CreateFaceLivenessSession returns it",
            )
        });
        let wait = request.wait.as_ref().map(check_wait).transpose();
        let requested = request.min_confidence.map(check_min_confidence).transpose();
        let max_result_age = request.max_result_age.as_ref().map(check_max_result_age).transpose();
        let images = images(request.view);
        // By reference: a cache hit does not pay for moving errors.
        match (&session_id, &wait, &requested, &max_result_age, &images) {
            (&Ok(session_id), &Ok(wait), &Ok(requested), &Ok(max_result_age), &Ok(images)) => Ok(Self {
                session_id,
                images,
                // A request may raise the server's threshold, never lower it.
                min_confidence: requested.into_iter().chain(floor).reduce(f32::max),
                wait: wait.map(|wait| wait.min(max_wait)).filter(|wait| !wait.is_zero()),
                max_result_age,
            }),
            _ => {
                let errors = [session_id.err(), wait.err(), requested.err(), max_result_age.err(), images.err()];
                Err(errors.into_iter().flatten().reduce(Error::and).expect("one of them failed"))
            }
        }
    }
}

/// Returns the images of a view.
fn images(view: i32) -> Result<ImageSet, Error> {
    match proto::ResultView::try_from(view) {
        Ok(proto::ResultView::Unspecified | proto::ResultView::Basic) => Ok(ImageSet::NONE),
        Ok(proto::ResultView::Reference) => Ok(ImageSet::REFERENCE),
        Ok(proto::ResultView::Full) => Ok(ImageSet::ALL),
        Err(_) => Err(Error::invalid("view", format!("{view} is no ResultView"))),
    }
}

fn check_min_confidence(threshold: f32) -> Result<f32, Error> {
    if is_min_confidence(threshold) {
        return Ok(threshold);
    }
    let meant = threshold * 100.0;
    let hint = if is_min_confidence(meant) { format!("; for {meant}% say {meant}") } else { String::new() };
    Err(Error::invalid("min_confidence", format!("{MIN_CONFIDENCE_RULE}, and is {threshold}{hint}")))
}

fn check_wait(wait: &prost_types::Duration) -> Result<Duration, Error> {
    check_duration("wait", "must not be negative", wait)
}

fn check_max_result_age(age: &prost_types::Duration) -> Result<Duration, Error> {
    const RULE: &str = "must be above zero";
    match check_duration("max_result_age", RULE, age)? {
        Duration::ZERO => Err(Error::invalid("max_result_age", RULE)),
        age => Ok(age),
    }
}

/// Validates a google.protobuf.Duration. `rule` is the error of a negative one.
fn check_duration(field: &'static str, rule: &str, duration: &prost_types::Duration) -> Result<Duration, Error> {
    let (seconds, nanos) = (u64::try_from(duration.seconds), u32::try_from(duration.nanos));
    let (Ok(seconds), Ok(nanos)) = (seconds, nanos) else {
        return Err(Error::invalid(field, rule));
    };
    if seconds > 315_576_000_000 || nanos > 999_999_999 {
        return Err(Error::invalid(
            field,
            "must be a google.protobuf.Duration: at most 10,000 years, and nanos below a second",
        ));
    }
    Ok(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX_WAIT: Duration = Duration::from_secs(50);
    const ID: &str = "2cf2a1a5-1a2b-4c3d-8e4f-0123456789ab";

    fn request() -> proto::GetLivenessResultRequest {
        proto::GetLivenessResultRequest { session_id: ID.into(), ..Default::default() }
    }

    fn wait(seconds: i64, nanos: i32) -> proto::GetLivenessResultRequest {
        proto::GetLivenessResultRequest { wait: Some(prost_types::Duration { seconds, nanos }), ..request() }
    }

    fn max_age(seconds: i64, nanos: i32) -> proto::GetLivenessResultRequest {
        proto::GetLivenessResultRequest { max_result_age: Some(prost_types::Duration { seconds, nanos }), ..request() }
    }

    fn threshold(min_confidence: f32) -> proto::GetLivenessResultRequest {
        proto::GetLivenessResultRequest { min_confidence: Some(min_confidence), ..request() }
    }

    #[test]
    fn each_view_has_its_images() {
        let images = |view| {
            ValidRequest::of(&proto::GetLivenessResultRequest { view, ..request() }, None, MAX_WAIT)
                .map(|q| q.images)
                .ok()
        };
        assert_eq!(images(0), Some(ImageSet::NONE));
        assert_eq!(images(1), Some(ImageSet::NONE));
        assert_eq!(images(2), Some(ImageSet::REFERENCE));
        assert_eq!(images(3), Some(ImageSet::ALL));
        assert_eq!(images(4), None);
    }

    #[test]
    fn a_wait_is_capped_and_zero_is_none() {
        let waits = |request| ValidRequest::of(&request, None, MAX_WAIT).expect("a valid request").wait;
        assert_eq!(waits(request()), None);
        assert_eq!(waits(wait(0, 0)), None);
        assert_eq!(waits(wait(1, 500_000_000)), Some(Duration::from_millis(1_500)));
        assert_eq!(waits(wait(3600, 0)), Some(MAX_WAIT));
    }

    #[test]
    fn a_maximum_age_is_any_time_above_zero() {
        let ages = |request| ValidRequest::of(&request, None, MAX_WAIT).expect("a valid request").max_result_age;
        assert_eq!(ages(request()), None);
        assert_eq!(ages(max_age(0, 1)), Some(Duration::from_nanos(1)));
        assert_eq!(ages(max_age(300, 0)), Some(Duration::from_secs(300)));
        assert_eq!(ages(max_age(315_576_000_000, 0)), Some(Duration::from_secs(315_576_000_000)));
    }

    #[test]
    fn the_higher_threshold_applies() {
        let applied =
            |request, floor| ValidRequest::of(&request, floor, MAX_WAIT).expect("a valid request").min_confidence;
        assert_eq!(applied(request(), None), None);
        assert_eq!(applied(request(), Some(80.0)), Some(80.0));
        assert_eq!(applied(threshold(90.0), Some(80.0)), Some(90.0));
        assert_eq!(applied(threshold(50.0), Some(80.0)), Some(80.0));
        assert_eq!(applied(threshold(50.0), None), Some(50.0));
    }

    #[test]
    fn an_error_names_the_malformed_field_and_repeats_no_id() {
        let bad_id = proto::GetLivenessResultRequest { session_id: ID.to_uppercase(), ..Default::default() };
        for (request, field) in [
            (proto::GetLivenessResultRequest::default(), "session_id"),
            (bad_id, "session_id"),
            (wait(-1, 0), "wait"),
            (wait(0, -1), "wait"),
            (wait(i64::MAX, 0), "wait"),
            (wait(1, i32::MAX), "wait"),
            (max_age(0, 0), "max_result_age"),
            (max_age(-1, 0), "max_result_age"),
            (max_age(0, -1), "max_result_age"),
            (max_age(1, -1), "max_result_age"),
            (max_age(1, 1_000_000_000), "max_result_age"),
            (max_age(315_576_000_001, 0), "max_result_age"),
            (threshold(0.0), "min_confidence"),
            (threshold(0.9), "min_confidence"),
            (threshold(1.0), "min_confidence"),
            (threshold(100.1), "min_confidence"),
            (threshold(-5.0), "min_confidence"),
            (threshold(f32::NAN), "min_confidence"),
            (threshold(f32::INFINITY), "min_confidence"),
        ] {
            let error = ValidRequest::of(&request, None, MAX_WAIT).expect_err(field);
            let context = crate::error::Context { session_id: "", region: None, time_left: Default::default() };
            let status = error.to_status(&context);
            assert!(status.message().starts_with(&format!("{field}: ")), "{}", status.message());
            assert!(!status.message().contains(&ID.to_uppercase()));
        }
    }

    #[test]
    fn every_violation_of_a_request_is_named() {
        let request = proto::GetLivenessResultRequest {
            session_id: "no-uuid".into(),
            wait: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
            view: 4,
            min_confidence: Some(0.9),
            max_result_age: Some(prost_types::Duration::default()),
        };
        let error = ValidRequest::of(&request, None, MAX_WAIT).expect_err("nothing in it is valid");
        let status = error.to_status(&crate::error::Context::default());
        let details = tonic_types::StatusExt::get_error_details(&status);
        let violations = &details.bad_request().expect("a BadRequest").field_violations;
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["session_id", "wait", "min_confidence", "max_result_age", "view"]);
        for violation in violations {
            assert!(
                status.message().contains(&format!("{}: {}", violation.field, violation.description)),
                "{status:?}"
            );
        }
    }

    #[test]
    fn a_threshold_of_0_9_is_rejected_with_a_hint_for_90() {
        let error = check_min_confidence(0.9).expect_err("below the scale");
        let status =
            error.to_status(&crate::error::Context { session_id: "", region: None, time_left: Default::default() });
        assert!(status.message().ends_with("for 90% say 90"), "{}", status.message());
    }

    proptest! {
        #[test]
        fn a_threshold_beyond_the_scale_is_rejected(requested: f32, floor in proptest::option::of(1.1f32..=100.0)) {
            match ValidRequest::of(&threshold(requested), floor, MAX_WAIT) {
                Ok(valid) => {
                    let applied = valid.min_confidence.expect("one was requested");
                    prop_assert!(applied > 1.0 && applied <= 100.0 && applied >= requested && Some(applied) >= floor);
                }
                Err(_) => prop_assert!(!(requested > 1.0 && requested <= 100.0)),
            }
        }
    }
}
