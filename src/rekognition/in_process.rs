//! The real SDK with the simulator, or whatever else answers, right behind it, without a socket
//! between: what waits then waits for tokio's clock only, so that a test can pause it and let
//! minutes pass in no time.

use super::Rekognition;
use crate::simulator::Simulator;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use axum::{Router, body::Body};
use std::time::Duration;
use tower::ServiceExt;

impl Rekognition {
    /// A client of this simulator in this process.
    pub fn in_process(simulator: &Simulator, timeout: Duration) -> Self {
        Self::answered_by(simulator.router(), timeout)
    }

    /// A client of whatever these routes answer.
    pub fn answered_by(router: Router, timeout: Duration) -> Self {
        let connector = SharedHttpConnector::new(Connector(router));
        let http = http_client_fn(move |_, _| connector.clone());
        Self::with_http_client(http, "http://simulator", "us-east-1", timeout)
    }
}

#[derive(Debug)]
struct Connector(Router);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let router = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().expect("the SDK makes requests of HTTP");
            let request = request.map(|body| Body::from(body.bytes().expect("a small body is in memory").to_vec()));
            let response = router.oneshot(request).await.expect("the router does not fail");
            let (head, body) = response.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await;
            let body = SdkBody::from(body.map_err(|error| ConnectorError::io(error.into()))?);
            HttpResponse::try_from(axum::http::Response::from_parts(head, body))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Reason, session::SessionId, telemetry::spans};

    #[tokio::test]
    async fn a_panic_inside_the_sdk_is_internal() {
        async fn panics() -> &'static str {
            panic!("a panic of this test")
        }
        let router = Router::new().fallback(panics);
        let rekognition = Rekognition::answered_by(router, Duration::from_secs(5));
        let read = rekognition.read(SessionId::random(), &spans::Caller::current()).await;
        assert_eq!(read.map(drop).map_err(|error| error.reason), Err(Reason::Internal));
    }

    #[tokio::test]
    async fn a_request_id_of_which_nothing_is_left_is_absent() {
        let asked = SessionId::parse("2cf2a1a5-1a2b-4c3d-8e4f-0123456789ab").expect("a valid id");
        for (id, told) in [("7f-0a", Some("7f-0a")), ("", None), ("\"?\"", None)] {
            let router = Router::new().fallback(move || async move { ([("x-amzn-requestid", id)], "{}") });
            let read =
                Rekognition::answered_by(router, Duration::from_secs(5)).read(asked, &spans::Caller::current()).await;
            let error = read.expect_err("not a result");
            assert_eq!((error.reason, error.aws_request_id.as_deref()), (Reason::UpstreamMalformed, told), "{id:?}");
        }
    }
}
