//! A caller with a connection, whose every answer is taken down.

use super::{planted, told::Told};
use face_liveness_facade::proto::{
    GetLivenessResultRequest, GetLivenessResultResponse, face_liveness_service_client::FaceLivenessServiceClient,
};
use std::time::Duration;
use tonic::{IntoRequest, Request, Status, transport::Channel};

#[derive(Clone)]
pub struct Asker {
    pub channel: Channel,
    pub told: Told,
}

impl Asker {
    pub fn new(channel: Channel, told: &Told) -> Self {
        Self { channel, told: told.clone() }
    }

    pub async fn ask(
        &self,
        request: impl IntoRequest<GetLivenessResultRequest>,
    ) -> Result<GetLivenessResultResponse, Status> {
        let request = request.into_request();
        let id = request.get_ref().session_id.clone();
        self.told.note(&id, FaceLivenessServiceClient::new(self.channel.clone()).get_liveness_result(request).await)
    }

    /// Asks for all of a session, and does not care how it ends.
    pub async fn try_for(&self, number: usize) {
        self.ask(planted::full(number)).await.ok();
    }

    /// Asks new sessions from `number` on until one is refused for that reason, with so much time
    /// for each.
    pub async fn until_refused(&self, reason: &str, mut number: usize, time: Duration) {
        let end = number + 50;
        while !self.told.words().reasons.contains(reason) {
            assert!(number < end, "{reason} was never told");
            let mut request = Request::new(planted::full(number));
            request.set_timeout(time);
            self.ask(request).await.ok();
            number += 1;
        }
    }
}

/// Of a caller who would wait that long.
pub fn waiting(number: usize, wait: Duration) -> GetLivenessResultRequest {
    let wait = prost_types::Duration::try_from(wait).expect("it is short");
    GetLivenessResultRequest { wait: Some(wait), ..planted::full(number) }
}
