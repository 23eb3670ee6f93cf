//! The RPC: check the request, ask `results` within the caller's deadline, shape the answer, log one line.
//!
//! Neither AWS nor the cache is known here.

pub(crate) mod deadline;
pub(crate) mod question;
mod response;

pub use question::{MIN_CONFIDENCE_RULE, is_min_confidence};

use crate::{
    error::{self, Error},
    proto::{self, face_liveness_service_server::FaceLivenessService},
    results::{ImageSet, Patience, Results},
    session::{SessionId, SessionRefKey},
};
use deadline::Deadline;
use question::Question;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// What a server is set to, as far as the RPC depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The verdict's threshold, default and floor; above 1, up to 100.
    pub min_confidence: Option<f32>,
    /// The most image content that is ever answered.
    pub images: ImageSet,
    /// The longest wait that a request gets.
    pub max_wait: Duration,
    pub access_log: AccessLog,
}

/// Which answered requests are logged. Errors always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AccessLog {
    /// None.
    None,
    /// Those whose answer carries a face.
    Images,
    /// All.
    All,
}

/// The implementation of `faceliveness.v1.FaceLivenessService`.
pub struct Service {
    results: Results,
    settings: Settings,
    region: Option<String>,
    session_refs: SessionRefKey,
}

impl Service {
    pub fn new(results: Results, settings: Settings, region: Option<String>) -> Self {
        Self { results, settings, region, session_refs: SessionRefKey::random() }
    }

    async fn answer(
        &self,
        question: &Question,
        deadline: Deadline,
        started: Instant,
    ) -> Result<proto::GetLivenessResultResponse, Error> {
        let patience =
            Patience { wait_until: question.wait.map(|wait| started + wait), answer_by: deadline.answer_by() };
        let answer = self.results.get(question.session_id, question.images, patience).await?;
        Ok(response::of(&answer, question, &self.settings, started))
    }

    /// One line for one request. A hit is the common case and says nothing about the service, so at the default level only errors and
    /// faces that left it are told.
    fn log(&self, id: Option<SessionId>, started: Instant, end: &Result<proto::GetLivenessResultResponse, Error>) {
        let logged = match (end, self.settings.access_log) {
            (Err(_), _) | (Ok(_), AccessLog::All) => true,
            (Ok(response), AccessLog::Images) => response::carries_images(response),
            (Ok(_), AccessLog::None) => false,
        };
        // Most answers are not logged, and pay neither for a hash nor for a clock.
        if !logged {
            return;
        }
        let session = id.map(|id| self.session_refs.reference(id));
        let session = session.as_ref().map(tracing::field::display);
        let millis = started.elapsed().as_micros() as f64 / 1e3;
        match end {
            Ok(response) => {
                let images = response::carries_images(response);
                let (status, source) = (response::status_name(response), response.source().as_str_name());
                tracing::info!(target: "access", session, status, source, images, millis, "answered");
            }
            Err(error) => {
                let (aws_code, aws_request_id) = (error.aws_code.as_deref(), error.aws_request_id.as_deref());
                tracing::warn!(reason = %error.reason, session, aws_code, aws_request_id, millis, "refused");
            }
        }
    }
}

#[tonic::async_trait]
impl FaceLivenessService for Service {
    async fn get_liveness_result(
        &self,
        request: Request<proto::GetLivenessResultRequest>,
    ) -> Result<Response<proto::GetLivenessResultResponse>, Status> {
        let started = Instant::now();
        let (metadata, _, request) = request.into_parts();
        let question = Question::of(&request, self.settings.min_confidence, self.settings.max_wait);
        let wait = question.as_ref().ok().and_then(|question| question.wait).unwrap_or_default();
        let deadline = Deadline::of(&metadata, started, wait);
        let end = match &question {
            Ok(question) => self.answer(question, deadline, started).await,
            Err(error) => Err(error.clone()),
        };
        self.log(question.ok().map(|question| question.session_id), started, &end);
        end.map(Response::new).map_err(|error| {
            let time_left = deadline.time_left();
            error.to_status(&error::Context {
                session_id: &request.session_id,
                region: self.region.as_deref(),
                time_left,
            })
        })
    }
}
