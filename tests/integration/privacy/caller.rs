//! A caller with a connection that records every response.

use super::{planted, received::Received};
use face_liveness_facade::proto::{
    GetLivenessResultRequest, GetLivenessResultResponse, face_liveness_service_client::FaceLivenessServiceClient,
};
use std::time::Duration;
use tonic::{IntoRequest, Request, Status, transport::Channel};

#[derive(Clone)]
pub struct Caller {
    pub channel: Channel,
    pub received: Received,
}

impl Caller {
    pub fn new(channel: Channel, received: &Received) -> Self {
        Self { channel, received: received.clone() }
    }

    pub async fn call(
        &self,
        request: impl IntoRequest<GetLivenessResultRequest>,
    ) -> Result<GetLivenessResultResponse, Status> {
        let request = request.into_request();
        let id = request.get_ref().session_id.clone();
        self.received.record_response(
            &id,
            FaceLivenessServiceClient::new(self.channel.clone()).get_liveness_result(request).await,
        )
    }

    /// Requests all data of a session, and ignores the result.
    pub async fn try_call(&self, number: usize) {
        self.call(planted::full(number)).await.ok();
    }

    /// Calls for new sessions from `number` on, with this timeout, until an error has this reason.
    pub async fn call_until_error(&self, reason: &str, mut number: usize, timeout: Duration) {
        let end = number + 50;
        while !self.received.lock().reasons.contains(reason) {
            assert!(number < end, "no error has the reason {reason}");
            let mut request = Request::new(planted::full(number));
            request.set_timeout(timeout);
            self.call(request).await.ok();
            number += 1;
        }
    }
}

/// Returns a request for all data of a session with this wait.
pub fn waiting(number: usize, wait: Duration) -> GetLivenessResultRequest {
    let wait = prost_types::Duration::try_from(wait).expect("a short wait");
    GetLivenessResultRequest { wait: Some(wait), ..planted::full(number) }
}
