//! Admission of the streams that tonic's router serves: health, reflection and the pages of the
//! admin port.

use super::{Admission, Kind, Permit, body::Arriving};
use crate::{
    client::Clients,
    error::{Context as ErrorContext, Error, Reason},
    server::incoming::Peer,
    telemetry::metrics::Metrics,
};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;
use tonic::{
    body::Body,
    codegen::http::{HeaderMap, Request, Response},
};
use tower::Service;

/// A service whose streams are admitted by their headers.
#[derive(Clone)]
pub struct Admitted<S> {
    inner: S,
    admission: Admission,
    clients: Clients,
    metrics: Arc<Metrics>,
}

impl<S> Admitted<S> {
    /// `clients` decides who may use reflection. Health is for all.
    pub const fn new(inner: S, admission: Admission, clients: Clients, metrics: Arc<Metrics>) -> Self {
        Self { inner, admission, clients, metrics }
    }

    fn admit(&self, kind: Kind, headers: &HeaderMap, peer: Option<&Arc<Peer>>) -> Result<Permit, Error> {
        let permit = self.admission.admit(kind, headers)?;
        if kind == Kind::Reflection {
            if peer.is_some_and(|peer| peer.is_over_limit()) {
                return Err(Error::new(Reason::Overloaded));
            }
            self.clients.may_ask(&self.clients.caller(peer.cloned(), headers))?;
        }
        Ok(permit)
    }
}

impl<S: Service<Request<Body>, Response = Response<Body>>> Service<Request<Body>> for Admitted<S> {
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Call<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (arrival, kind) = (Instant::now(), Kind::of(request.uri().path()));
        let peer = request.extensions().get::<Arc<Peer>>().cloned();
        match self.admit(kind, request.headers(), peer.as_ref()) {
            Ok(permit) => {
                let request = request.map(|body| Body::new(Arriving::new(body, kind, arrival)));
                Call::Admitted { response: self.inner.call(request), permit: Some(permit) }
            }
            Err(error) => {
                self.metrics.errors.with_label_values(&[error.reason.name()]).inc();
                let response = error.to_status(&ErrorContext::default()).into_http();
                Call::Rejected { response: Some(self.admission.reject(response, peer.as_deref())) }
            }
        }
    }
}

pin_project! {
    /// A stream until its response begins.
    #[project = CallOf]
    pub enum Call<F> {
        Admitted { #[pin] response: F, permit: Option<Permit> },
        Rejected { response: Option<Response<Body>> },
    }
}

impl<F: Future<Output = Result<Response<Body>, E>>, E> Future for Call<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            CallOf::Admitted { response, permit } => {
                let response = ready!(response.poll(context))?;
                let permit = permit.take().expect("a future is not polled after its end");
                Poll::Ready(Ok(permit.until_written(response)))
            }
            CallOf::Rejected { response } => {
                Poll::Ready(Ok(response.take().expect("a future is not polled after its end")))
            }
        }
    }
}
