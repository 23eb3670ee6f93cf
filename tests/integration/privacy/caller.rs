//! A caller with a connection, whose every answer is taken down.

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

    /// Asks for all of a session, and does not care how it ends.
    pub async fn try_call(&self, number: usize) {
        self.call(planted::full(number)).await.ok();
    }

    /// Asks new sessions from `number` on until one is refused for that reason, with so much time
    /// for each.
    pub async fn call_until_error(&self, reason: &str, mut number: usize, time: Duration) {
        let end = number + 50;
        while !self.received.lock().reasons.contains(reason) {
            assert!(number < end, "{reason} was never told");
            let mut request = Request::new(planted::full(number));
            request.set_timeout(time);
            self.call(request).await.ok();
            number += 1;
        }
    }
}

/// Of a caller who would wait that long.
pub fn waiting(number: usize, wait: Duration) -> GetLivenessResultRequest {
    let wait = prost_types::Duration::try_from(wait).expect("it is short");
    GetLivenessResultRequest { wait: Some(wait), ..planted::full(number) }
}
