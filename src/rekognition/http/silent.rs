//! Leaves a connection on which a read got no response.

use super::Http;
use aws_sdk_rekognition::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::FinalizerInterceptorContextRef},
    error::BoxError,
};

/// Makes later reads connect again after one that timed out or lost its connection. The SDK would
/// use the same HTTP/2 connection, or another idle one that the network dropped at the same time.
#[derive(Debug)]
pub struct ReplaceSilent(pub Http);

impl Intercept for ReplaceSilent {
    fn name(&self) -> &'static str {
        "ReplaceSilent"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Err(error)) = context.output_or_error()
            && (error.is_timeout_error() || error.is_connector_error() || error.is_response_error())
        {
            self.0.reconnect();
        }
        Ok(())
    }
}
