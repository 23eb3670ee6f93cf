//! The tower layer that admits each stream of a port by its headers.

use super::{
    Admission, Kind,
    body::RequestBody,
    incomplete::{Incomplete, RequestLimit},
    not_grpc::NotGrpc,
    permit::Permit,
};
use crate::{
    client::{Caller, ClientLimit, Clients, Peer, Shares},
    error::{Context as ErrorContext, Error, Reason},
    grpc::{
        call::{Call, MAX_REQUEST_BYTES},
        deadline::{self, Deadline},
        recorder::Recorder,
    },
};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;
use tonic::{
    Status,
    body::Body,
    codegen::http::{Request, Response},
};
use tower::Service;

/// A service whose streams are admitted by their headers.
#[derive(Clone)]
pub struct Admitted<S> {
    inner: S,
    admission: Admission,
    clients: Arc<Clients>,
    shares: Arc<Shares>,
    recorder: Recorder,
}

impl<S> Admitted<S> {
    /// `clients` decides who may call the RPC and reflection. Health is for all.
    pub const fn new(
        inner: S,
        admission: Admission,
        clients: Arc<Clients>,
        shares: Arc<Shares>,
        recorder: Recorder,
    ) -> Self {
        Self { inner, admission, clients, shares, recorder }
    }

    fn authorize(&self, caller: Option<&Caller>) -> Result<(), Error> {
        let Some(caller) = caller else { return Ok(()) };
        match caller.peer().is_some_and(Peer::is_over_limit) {
            true => {
                caller.client().inspect(|client| client.count_rejection(ClientLimit::Connections));
                Err(Error::new(Reason::Overloaded))
            }
            false => self.clients.may_call(caller),
        }
    }

    /// Records a rejected stream, and returns its response.
    fn reject(&self, error: Error, call: Option<&Call>, peer: Option<&Peer>) -> Response<Body> {
        let status = match call {
            Some(call) => self.recorder.reject(call, error),
            None => {
                self.recorder.count(&error);
                error.to_status(&ErrorContext::default())
            }
        };
        self.admission.reject(status.into_http(), peer)
    }
}

impl<S: Service<Request<Body>, Response = Response<Body>>> Service<Request<Body>> for Admitted<S> {
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = AdmittedFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (arrival, path) = (Instant::now(), request.uri().path());
        let kind = Kind::of(path);
        let not_grpc = if self.admission.is_grpc_only(path) { NotGrpc::of(&request) } else { None };
        let peer = request.extensions().get::<Arc<Peer>>().cloned();
        let headers = request.headers();
        let caller = kind.is_for_allowed_clients().then(|| self.clients.caller(peer.clone(), headers, &self.shares));
        let client = caller.as_ref().and_then(Caller::client).filter(|_| kind == Kind::Call);
        let permit =
            not_grpc.map_or_else(|| self.admission.admit(kind, headers, client), |not_grpc| Err(not_grpc.error()));
        let permit = permit.and_then(|permit| self.authorize(caller.as_ref()).map(|()| permit));
        let caller = caller.filter(|_| kind == Kind::Call);
        let call = caller.map(|caller| Arc::new(Call::new(caller, headers, arrival)));
        let permit = match permit {
            Ok(permit) => permit,
            Err(error) => {
                let mut response = self.reject(error, call.as_deref(), peer.as_deref());
                not_grpc.inspect(|not_grpc| not_grpc.set_status(&mut response));
                return AdmittedFuture::Rejected { response: Some(response) };
            }
        };
        match &call {
            Some(call) => {
                // In place of the peer, which the call has: one entry more would make the map grow.
                request.extensions_mut().remove::<Arc<Peer>>();
                request.extensions_mut().insert(Arc::clone(call));
            }
            // tonic bounds the message of a call, and `AdmittedStream` bounds its time.
            None => {
                // A stream of many messages may be open for longer than its client waits for one.
                let timeout = deadline::timeout(headers).filter(|_| !kind.takes_many_messages());
                let deadline = Deadline::of(timeout, arrival, Duration::ZERO);
                let (limit, admission) = (RequestLimit::of(deadline, arrival), self.admission.clone());
                request =
                    request.map(|body| Body::new(RequestBody::new(body, kind.takes_many_messages(), limit, admission)));
            }
        }
        let (recorder, admission) = (self.recorder.clone(), self.admission.clone());
        let admitted = AdmittedStream { permit, call, recorder, admission, incomplete: None };
        AdmittedFuture::Admitted { response: self.inner.call(request), admitted: Some(admitted) }
    }
}

/// What an admitted stream keeps until its response begins.
struct AdmittedStream {
    permit: Permit,
    /// The call of the RPC; None for a stream of another service.
    call: Option<Arc<Call>>,
    recorder: Recorder,
    admission: Admission,
    /// Runs while the message of the call has not arrived.
    incomplete: Option<Incomplete>,
}

impl AdmittedStream {
    /// Completes when the message of the call did not arrive.
    fn poll_incomplete(&mut self, context: &mut Context<'_>) -> Poll<Response<Body>> {
        let Some(call) = self.call.as_deref().filter(|call| !call.has_message()) else {
            self.incomplete = None;
            return Poll::Pending;
        };
        let limit = || RequestLimit::of(call.deadline(), call.arrival);
        let incomplete = self.incomplete.get_or_insert_with(|| limit().wait(self.admission.closing()));
        let error = ready!(incomplete.as_mut().poll(context));
        Poll::Ready(self.recorder.reject(call, error).into_http())
    }

    fn respond(self, mut response: Response<Body>) -> Response<Body> {
        if let Some(call) = self.call.as_deref().filter(|call| !call.is_recorded())
            && let Some(status) = Status::from_header_map(response.headers())
            && let Some(error) = Error::of_unread_message(status.code(), MAX_REQUEST_BYTES)
        {
            response = self.recorder.reject(call, error).into_http();
        }
        self.permit.until_written(response, self.call)
    }
}

pin_project! {
    /// A stream until its response begins.
    #[project = AdmittedFutureOf]
    pub enum AdmittedFuture<F> {
        Admitted { #[pin] response: F, admitted: Option<AdmittedStream> },
        Rejected { response: Option<Response<Body>> },
    }
}

impl<F: Future<Output = Result<Response<Body>, E>>, E> Future for AdmittedFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AdmittedFutureOf::Admitted { response, admitted } => {
                let stream = admitted.as_mut().expect("a future is not polled after its end");
                let response = {
                    let _span = stream.call.as_ref().map(|call| call.span.enter());
                    response.poll(context)
                };
                let response = match response {
                    Poll::Ready(response) => response?,
                    Poll::Pending => ready!(stream.poll_incomplete(context)),
                };
                Poll::Ready(Ok(admitted.take().expect("it was there").respond(response)))
            }
            AdmittedFutureOf::Rejected { response } => {
                Poll::Ready(Ok(response.take().expect("a future is not polled after its end")))
            }
        }
    }
}
