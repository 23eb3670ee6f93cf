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
    server::{
        admission::{Admission, Kind, MESSAGE_TIMEOUT, Permit},
        incoming::Peer,
    },
    session::SessionRefKey,
    telemetry::{metrics::Metrics, spans},
};
use deadline::Deadline;
use log::Log;
use question::Question;
use response::Response;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tonic::{Status, codegen::http::request::Parts, metadata::MetadataMap};
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
    admission: Admission,
    room: sending::Room,
}

/// A call, as far as its headers tell. They are dropped before its message is read, which may take
/// a while.
pub struct Call {
    caller: Caller,
    arrival: Instant,
    timeout: Option<Duration>,
    span: Span,
}

type Answered = Result<Response, Error>;

impl Service {
    pub fn new(
        results: Results,
        settings: Settings,
        admission: Admission,
        metrics: Arc<Metrics>,
        session_refs: Arc<SessionRefKey>,
    ) -> Self {
        let log = Log::new(settings.access_log, Arc::clone(&session_refs));
        Self(Arc::new(Inner { results, settings, metrics, session_refs, log, admission, room: sending::Room::new() }))
    }

    /// The call that has this head, and its permit.
    ///
    /// # Errors
    /// Its headers are too large, this server is at a limit, or the caller may not ask.
    pub fn begin(&self, head: Parts, arrival: Instant) -> Result<(Call, Permit), Status> {
        let (service, headers) = (&*self.0, head.headers);
        let permit = service.admission.admit(Kind::Call, &headers);
        let caller = service.settings.clients.caller(head.extensions.get::<Arc<Peer>>().cloned(), &headers);
        let timeout = deadline::timeout(&headers);
        let call = Call { caller, arrival, timeout, span: spans::call(&MetadataMap::from_headers(headers)) };
        match permit.and_then(|permit| service.may_begin(&call.caller).map(|()| permit)) {
            Ok(permit) => Ok((call, permit)),
            Err(error) => Err(self.refuse(&call, error)),
        }
    }

    /// Returns the status of a call that is rejected before its message has arrived.
    pub fn refuse(&self, call: &Call, error: Error) -> Status {
        let time_left = Deadline::of(call.timeout, call.arrival, Duration::ZERO).time_left();
        let region = self.0.settings.region.as_deref();
        let status = error.to_status(&error::Context { session_id: "", region, time_left });
        self.0.tell(call, None, &Err(error));
        status
    }

    /// The answer to a call, and its room when there are faces in it. tonic counts a deadline from
    /// the headers on, and so does this.
    ///
    /// # Errors
    /// Every reason there is.
    pub async fn get_liveness_result(
        &self,
        call: Call,
        request: proto::GetLivenessResultRequest,
    ) -> Result<(Message, Option<Sending>), Status> {
        let service = &*self.0;
        let question = Question::of(&request, service.settings.min_confidence, service.settings.max_wait);
        let wait = question.as_ref().ok().and_then(|question| question.wait).unwrap_or_default();
        let deadline = Deadline::of(call.timeout, call.arrival, wait);
        if let Some(question) = question.as_ref().ok().filter(|_| !call.span.is_disabled()) {
            spans::asks_for(&call.span, service.session_refs.reference(question.session_id));
        }
        let mut sending = None;
        let mut end = match &question {
            Err(error) => Err(error.clone()),
            Ok(question) => service.answer(question, &call, deadline).instrument(call.span.clone()).await,
        };
        if let Ok(response) = &end
            && let bytes @ 1.. = response.image_bytes()
        {
            match service.room.take(bytes, deadline.answer_by()).await {
                Ok(room) => sending = Some(room),
                Err(error) => end = Err(error),
            }
        }
        service.tell(&call, question.as_ref().ok(), &end);
        match end {
            Ok(response) => Ok((Message::of(&response), sending)),
            Err(error) => Err(error.to_status(&error::Context {
                session_id: &request.session_id,
                region: service.settings.region.as_deref(),
                time_left: deadline.time_left(),
            })),
        }
    }
}

impl Call {
    /// Returns the time by which the message must arrive, and the error if it does not.
    pub fn message_by(&self) -> (Instant, Error) {
        let late = self.arrival + MESSAGE_TIMEOUT;
        match Deadline::of(self.timeout, self.arrival, Duration::ZERO).answer_by() {
            deadline if deadline < late => (deadline, Error::new(Reason::DeadlineExceeded)),
            _ => (late, Error::late("request", MESSAGE_TIMEOUT)),
        }
    }
}

impl Inner {
    fn may_begin(&self, caller: &Caller) -> Result<(), Error> {
        match caller.peer().is_some_and(Peer::is_over_limit) {
            true => Err(Error::new(Reason::Overloaded)),
            false => self.settings.clients.may_ask(caller),
        }
    }

    async fn answer(&self, question: &Question, call: &Call, deadline: Deadline) -> Answered {
        if !question.images.is_empty() {
            self.settings.clients.may_see_images(&call.caller)?;
        }
        let wait_until = question.wait.map(|wait| call.arrival + wait);
        let patience = Patience { wait_until, answer_by: deadline.answer_by() };
        let answer = self.results.get(question.session_id, question.images, patience).await?;
        Ok(response::of(answer, question, self.settings.images, call.arrival))
    }

    /// Counts how a request ended, and tells of it.
    fn tell(&self, call: &Call, question: Option<&Question>, end: &Answered) {
        match end {
            Ok(response) => {
                self.metrics.answered(response.rest.source, response.outcome.result.status).inc();
                spans::answered(&call.span, response.status_name(), response.source_name());
            }
            Err(error) => {
                self.metrics.errors.with_label_values(&[error.reason.name()]).inc();
                spans::refused(&call.span, error);
            }
        }
        self.log.tell(&call.caller, question, call.arrival, end);
    }
}
