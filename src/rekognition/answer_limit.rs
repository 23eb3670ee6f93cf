//! No answer is read beyond what a result can be. The SDK would take in all that comes until the
//! read's time is up, and what stands between this service and AWS may send a lot in seconds.

use aws_sdk_rekognition::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextMut},
    error::BoxError,
};
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use std::mem;

/// Five images of 200 KiB, the most there are, come to 1.4 MB of JSON: room for three times as
/// much.
const MOST_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub struct AnswerLimit;

impl Intercept for AnswerLimit {
    fn name(&self) -> &'static str {
        "AnswerLimit"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let endless = mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(endless, MOST_BYTES));
        Ok(())
    }
}
