//! The RPC: who may ask, check the request, ask `results` within the caller's deadline, shape the answer, tell what happened.
//!
//! Neither AWS nor the cache is known here.

pub(crate) mod deadline;
mod log;
mod message;
pub mod question;
pub mod response;
mod sending;

pub use log::AccessLog;
pub use message::{HEAD, Message};
pub use question::{MIN_CONFIDENCE_RULE, is_min_confidence};
pub use sending::Sending;

use crate::{
    client::{Caller, Clients},
    error::{self, Error, Reason},
    proto,
    results::{ImageSet, Patience, Results},
    server::incoming::Peer,
    session::SessionRefKey,
    telemetry::{metrics::Metrics, spans},
};
use deadline::Deadline;
use log::Log;
use question::Question;
use response::Response;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};
use tonic::{Request, Status, metadata::MetadataMap};
use tracing::{Instrument, Span};

/// What a server is set to, as far as the RPC depends on it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The verdict's threshold, default and floor; above 1, up to 100.
    pub min_confidence: Option<f32>,
    /// The most image content that is ever answered.
    pub images: ImageSet,
    /// The longest wait that a request gets.
    pub max_wait: Duration,
    pub access_log: AccessLog,
    /// The most requests in flight.
    pub max_requests: usize,
    pub clients: Clients,
    /// The AWS region that is asked, for error messages.
    pub region: Option<String>,
}

/// The implementation of `faceliveness.v1.FaceLivenessService`. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    results: Results,
    settings: Settings,
    metrics: Arc<Metrics>,
    session_refs: Arc<SessionRefKey>,
    log: Log,
    places: Semaphore,
    room: sending::Room,
}

type Answered = Result<Response, Error>;

impl Service {
    pub fn new(results: Results, settings: Settings, metrics: Arc<Metrics>, session_refs: Arc<SessionRefKey>) -> Self {
        let log = Log::new(settings.access_log, Arc::clone(&session_refs));
        let places = Semaphore::new(settings.max_requests);
        Self(Arc::new(Inner { results, settings, metrics, session_refs, log, places, room: sending::Room::new() }))
    }

    /// The answer to a request that came at `arrival`, and its room when there are faces in it. tonic counts a deadline from the headers
    /// on, and under load the message is read, and this reached, later than the head start of the answer allows for.
    ///
    /// # Errors
    /// Every reason there is.
    pub async fn get_liveness_result(
        &self,
        request: Request<proto::GetLivenessResultRequest>,
        arrival: Instant,
    ) -> Result<(Message, Option<Sending>), Status> {
        let service = &*self.0;
        let (metadata, extensions, request) = request.into_parts();
        let peer = extensions.get::<Arc<Peer>>().map(|peer| &**peer);
        let caller = service.settings.clients.caller(peer, &metadata);
        let question = Question::of(&request, service.settings.min_confidence, service.settings.max_wait);
        let wait = question.as_ref().ok().and_then(|question| question.wait).unwrap_or_default();
        let deadline = Deadline::of(&metadata, arrival, wait);
        let span = service.span(&metadata, question.as_ref().ok());
        let place = service.admit(peer, &caller);
        let mut sending = None;
        let mut end = match (&place, &question) {
            (Err(error), _) | (_, Err(error)) => Err(error.clone()),
            (Ok(_), Ok(question)) => {
                service.answer(question, &caller, deadline, arrival).instrument(span.clone()).await
            }
        };
        if let Ok(response) = &end
            && let bytes @ 1.. = response.image_bytes()
        {
            match service.room.take(bytes, deadline.answer_by()).await {
                Ok(room) => sending = Some(room),
                Err(error) => end = Err(error),
            }
        }
        service.tell(&caller, question.as_ref().ok(), arrival, &span, &end);
        match end {
            Ok(response) => Ok((Message::of(&response), sending)),
            Err(error) => Err(error.to_status(&error::Context {
                session_id: &request.session_id,
                region: service.settings.region.as_deref(),
                time_left: deadline.time_left(),
            })),
        }
    }

    /// How many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.0.settings.max_requests - self.0.places.available_permits()
    }
}

impl Inner {
    /// A place among the requests in flight, for one who may ask.
    fn admit(&self, peer: Option<&Peer>, caller: &Caller<'_>) -> Result<SemaphorePermit<'_>, Error> {
        let place = self.places.try_acquire().map_err(|_| Error::new(Reason::Overloaded))?;
        if peer.is_some_and(Peer::is_over_limit) {
            return Err(Error::new(Reason::Overloaded));
        }
        self.settings.clients.may_ask(caller)?;
        Ok(place)
    }

    async fn answer(&self, question: &Question, caller: &Caller<'_>, deadline: Deadline, arrival: Instant) -> Answered {
        if !question.images.is_empty() {
            self.settings.clients.may_see_images(caller)?;
        }
        let patience =
            Patience { wait_until: question.wait.map(|wait| arrival + wait), answer_by: deadline.answer_by() };
        let answer = self.results.get(question.session_id, question.images, patience).await?;
        Ok(response::of(answer, question, self.settings.images, arrival))
    }

    /// The span of a call, which costs next to nothing where no traces are exported.
    fn span(&self, metadata: &MetadataMap, question: Option<&Question>) -> Span {
        let span = spans::call(metadata);
        if let Some(question) = question.filter(|_| !span.is_disabled()) {
            spans::asks_for(&span, self.session_refs.reference(question.session_id));
        }
        span
    }

    /// Counts how a request ended, and tells of it.
    fn tell(&self, caller: &Caller<'_>, question: Option<&Question>, arrival: Instant, span: &Span, end: &Answered) {
        match end {
            Ok(response) => {
                self.metrics.answered(response.rest.source, response.outcome.result.status).inc();
                spans::answered(span, response.status_name(), response.source_name());
            }
            Err(error) => {
                self.metrics.errors.with_label_values(&[error.reason.name()]).inc();
                spans::refused(span, error);
            }
        }
        self.log.tell(caller, question, arrival, end);
    }
}
