//! The real SDK connected to a router in this process, such as the simulator's, without a socket.
//! All waiting then depends on tokio's clock, which tests pause.

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
    /// Returns a client of this simulator.
    pub fn in_process(simulator: &Simulator, timeout: Duration) -> Self {
        Self::with_router(simulator.router(), timeout)
    }

    /// Returns a client of these routes.
    pub fn with_router(router: Router, timeout: Duration) -> Self {
        let connector = SharedHttpConnector::new(Connector(router));
        let http = http_client_fn(move |_, _| connector.clone());
        Self::new(&Self::fake(http, "http://simulator", "us-east-1"), None, timeout, None)
    }
}

#[derive(Debug)]
struct Connector(Router);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let router = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().expect("the SDK creates valid HTTP requests");
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
        let rekognition = Rekognition::with_router(router, Duration::from_secs(5));
        let read = rekognition.read(SessionId::random(), &spans::Caller::current()).await;
        assert_eq!(read.map(drop).map_err(|error| error.reason), Err(Reason::Internal));
    }

    #[tokio::test]
    async fn a_request_id_without_valid_characters_is_absent() {
        let session = SessionId::parse("2cf2a1a5-1a2b-4c3d-8e4f-0123456789ab").expect("a valid id");
        for (id, expected) in [("7f-0a", Some("7f-0a")), ("", None), ("\"?\"", None)] {
            let router = Router::new().fallback(move || async move { ([("x-amzn-requestid", id)], "{}") });
            let read =
                Rekognition::with_router(router, Duration::from_secs(5)).read(session, &spans::Caller::current()).await;
            let error = read.expect_err("not a result");
            assert_eq!(
                (error.reason, error.aws_request_id.as_deref()),
                (Reason::UpstreamMalformed, expected),
                "{id:?}"
            );
        }
    }
}
