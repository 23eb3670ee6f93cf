//! The RPC: validates the request, authorizes the caller, reads the result within the caller's
//! deadline, and builds the response.
//!
//! The tower layers around tonic's router are [`calls`] and [`admission`]. AWS, Redis and moka are
//! not known here.

mod access_log;
pub mod admission;
mod call;
mod call_count;
pub mod calls;
mod codec;
pub(crate) mod deadline;
mod delivery;
pub(crate) mod image_budget;
pub mod metrics;
mod outcome;
mod recorder;
pub mod response;
pub mod valid_request;

pub use call::{Call, MAX_REQUEST_BYTES};
pub use codec::MessageCodec;
pub use image_budget::ImagePermit;
pub use recorder::Recorder;

use crate::{
    client::{ClientLimit, Clients},
    config::AccessLog,
    error::{Context, Error, Reason},
    proto::{
        GetLivenessResultRequest, GetLivenessResultResponse,
        face_liveness_service_server::{FaceLivenessService, FaceLivenessServiceServer},
    },
    results::{ImageSet, SessionReader, SessionResponse, WaitBudget},
    session::SessionRefKey,
    telemetry::spans,
};
use deadline::Deadline;
use delivery::Delivery;
use image_budget::ImageBudget;
use outcome::Outcome;
use std::{sync::Arc, time::Duration};
use tonic::{Request, Response, Status};
use valid_request::ValidRequest;

/// The options of the RPC.
#[derive(Clone, Debug)]
pub struct RpcOptions {
    /// The verdict's threshold, default and floor; above 1, up to 100.
    pub min_confidence: Option<f32>,
    /// The image content that responses may contain.
    pub images: ImageSet,
    /// The longest wait that a request gets.
    pub max_wait: Duration,
    pub access_log: AccessLog,
    pub clients: Clients,
    /// The AWS region that results are read from, for error messages.
    pub region: Option<String>,
}

/// The implementation of `faceliveness.v1.FaceLivenessService`.
pub struct Service {
    results: SessionReader,
    options: RpcOptions,
    session_refs: Arc<SessionRefKey>,
    recorder: Recorder,
    image_budget: ImageBudget,
}

impl Service {
    /// The service for tonic's router. Its calls must have passed [`admission::Admitted`].
    pub fn server(
        results: SessionReader,
        options: RpcOptions,
        session_refs: Arc<SessionRefKey>,
        recorder: Recorder,
    ) -> FaceLivenessServiceServer<Self> {
        let service = Self { results, options, session_refs, recorder, image_budget: ImageBudget::new() };
        FaceLivenessServiceServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
    }

    /// Returns the result, and the share of the image budget if the response contains images.
    async fn read(
        &self,
        valid: &ValidRequest,
        call: &Call,
        deadline: Deadline,
    ) -> Result<(SessionResponse, Option<ImagePermit>), Error> {
        if !valid.images.is_empty() {
            self.options.clients.may_see_images(&call.caller)?;
        }
        let wait_until = valid.wait.map(|wait| call.arrival + wait);
        let wait_budget = WaitBudget { wait_until, respond_by: deadline.respond_by() };
        let session = self.results.get(valid.session_id, call.caller.key(), valid.images, wait_budget).await?;
        let permit = match response::image_bytes(&session, valid, self.options.images) {
            0 => None,
            // Boxed, so that a response without images does not pay for it.
            bytes => {
                Some(Box::pin(self.image_budget.acquire(bytes, call.caller.client(), deadline.respond_by())).await?)
            }
        };
        Ok((session, permit))
    }

    /// Returns tonic's response. One without images is recorded as the caller's at once: it fits
    /// into a frame.
    fn respond(
        &self,
        call: &Arc<Call>,
        valid: &ValidRequest,
        response: response::Response,
    ) -> Response<GetLivenessResultResponse> {
        let (summary, mut tonics) = (response.summary(), Response::new(response.message));
        match response.permit {
            None => self.recorder.record(call, Some(valid), &Outcome::Response(&summary)),
            Some(images) => {
                let (call, recorder) = (Arc::clone(call), self.recorder.clone());
                tonics.extensions_mut().insert(Delivery::new(call, valid.clone(), summary, images, recorder));
            }
        }
        tonics
    }
}

#[tonic::async_trait]
impl FaceLivenessService for Service {
    async fn get_liveness_result(
        &self,
        request: Request<GetLivenessResultRequest>,
    ) -> Result<Response<GetLivenessResultResponse>, Status> {
        let Some(call) = request.extensions().get::<Arc<Call>>().cloned() else {
            return Err(Error::new(Reason::Internal).to_status(&Context::default()));
        };
        call.message_arrived();
        let request = request.into_inner();
        let valid = ValidRequest::of(&request, self.options.min_confidence, self.options.max_wait);
        let wait = valid.as_ref().ok().and_then(|valid| valid.wait).unwrap_or_default();
        // tonic counts a deadline from the headers on, and so does this.
        let deadline = Deadline::of(call.timeout, call.arrival, wait);
        if let Some(valid) = valid.as_ref().ok().filter(|_| !call.span.is_disabled()) {
            spans::record_session(&call.span, self.session_refs.reference(valid.session_id));
        }
        let read = match &valid {
            Err(error) => Err(error.clone()),
            Ok(valid) => self.read(valid, &call, deadline).await.map(|read| (valid, read)),
        };
        match read {
            Ok((valid, (session, permit))) => {
                let response = response::of(session, valid, self.options.images, call.arrival, permit);
                Ok(self.respond(&call, valid, response))
            }
            Err(error) => {
                if error.reason == Reason::QuotaExhausted {
                    call.caller.client().inspect(|client| client.count_rejection(ClientLimit::Quota));
                }
                self.recorder.record(&call, valid.as_ref().ok(), &Outcome::Error(&error, None));
                Err(self.recorder.status(&error, &request.session_id, deadline))
            }
        }
    }
}
