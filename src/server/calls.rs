//! Every call of the gRPC port, as it comes and as it ends: counted, timed, and its error made one of ours.
//!
//! Those to this service's method go there straight, all others by tonic's router.

use super::{admission::Admission, incoming::Peer, method};
use crate::{
    error::{Error, Reason},
    service,
    telemetry::metrics::{Calls, Metrics},
};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{
    body::Body,
    codegen::{
        Bytes,
        http::{HeaderMap, Request, Response},
    },
};
use tower::Service;

/// gRPC's numbers of the codes that are meant here.
const OK: i32 = 0;
const CANCELLED: i32 = 1;
const UNKNOWN: i32 = 2;

/// The one call of this service, by its path.
const METHOD: &str = "/faceliveness.v1.FaceLivenessService/GetLivenessResult";

/// This service and the other services of its port, watched.
#[derive(Clone)]
pub struct Watched<S> {
    service: service::Service,
    others: S,
    admission: Admission,
    metrics: Arc<Metrics>,
    ending: CancellationToken,
}

impl<S> Watched<S> {
    /// `ending` ends the streams that nothing else ends.
    pub const fn new(
        service: service::Service,
        others: S,
        admission: Admission,
        metrics: Arc<Metrics>,
        ending: CancellationToken,
    ) -> Self {
        Self { service, others, admission, metrics, ending }
    }

    /// A call of this service, which is admitted or rejected before its message is read.
    fn ours<F>(&self, request: Request<Body>, arrival: Instant) -> Answer<F> {
        let (head, body) = request.into_parts();
        let peer = head.extensions.get::<Arc<Peer>>().cloned();
        let begun = match method::refuse_compressed(&head.headers) {
            Some(response) => Err(response),
            None => self.service.begin(head, arrival).map_err(tonic::Status::into_http),
        };
        match begun {
            Ok((call, permit)) => {
                Answer::Ours { answer: Box::pin(method::answer(self.service.clone(), call, permit, body)) }
            }
            Err(response) => Answer::Rejected { response: Some(self.admission.reject(response, peer.as_deref())) },
        }
    }
}

impl<S: Service<Request<Body>, Response = Response<Body>>> Service<Request<Body>> for Watched<S> {
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Call<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.others.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let arrival = Instant::now();
        let path = request.uri().path();
        let end = End::of(self.metrics.calls(path), arrival);
        let answer = match path == METHOD {
            true => self.ours(request, arrival),
            false => Answer::Others { answer: self.others.call(request), ending: self.ending.clone() },
        };
        Call { answer, end }
    }
}

pin_project! {
    /// A call until its answer begins.
    pub struct Call<F> {
        #[pin]
        answer: Answer<F>,
        end: End,
    }
}

pin_project! {
    #[project = AnswerOf]
    enum Answer<F> {
        Ours { answer: Pin<Box<dyn Future<Output = Response<Body>> + Send>> },
        Others { #[pin] answer: F, ending: CancellationToken },
        Rejected { response: Option<Response<Body>> },
    }
}

impl<F: Future<Output = Result<Response<Body>, E>>, E> Future for Call<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut response, ending) = match this.answer.project() {
            AnswerOf::Ours { answer } => (ready!(answer.as_mut().poll(context)), None),
            AnswerOf::Others { answer, ending } => (ready!(answer.poll(context))?, Some(ending)),
            AnswerOf::Rejected { response } => (response.take().expect("a future is not polled after its end"), None),
        };
        keep_our_words_only(response.headers_mut());
        if let Some(code) = code(response.headers()) {
            this.end.with(code);
            return Poll::Ready(Ok(response));
        }
        if let Some(ending) = ending.filter(|_| this.end.is_of_stream()) {
            let end = std::mem::take(this.end);
            let ending = ending.clone().cancelled_owned();
            return Poll::Ready(Ok(response.map(|body| Body::new(Stream { body, end, ending }))));
        }
        this.end.with(OK);
        Poll::Ready(Ok(response))
    }
}

/// The framework's sentences repeat what a caller said, such as a symbol that reflection does not know or an encoding, and callers and
/// proxies log them. So an error that was not made here, which is one without details, has its code alone.
fn keep_our_words_only(headers: &mut HeaderMap) {
    if !headers.contains_key("grpc-status-details-bin") {
        headers.remove("grpc-message");
    }
}

/// The code of an answer or of trailers, when there is one.
fn code(headers: &HeaderMap) -> Option<i32> {
    let status = headers.get("grpc-status")?;
    Some(status.to_str().ok().and_then(|status| status.parse().ok()).unwrap_or(UNKNOWN))
}

pin_project! {
    /// The answers of a stream, which ends with its trailers.
    struct Stream {
        #[pin]
        body: Body,
        end: End,
        // One that is open would hold a stop up.
        #[pin]
        ending: WaitForCancellationFutureOwned,
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        let mut frame = match this.body.poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(this.ending.poll(context));
                Some(Ok(http_body::Frame::trailers(Error::new(Reason::ShuttingDown).to_trailers())))
            }
        };
        if let Some(trailers) = frame.as_mut().and_then(|frame| frame.as_mut().ok()?.trailers_mut()) {
            keep_our_words_only(trailers);
        }
        if let Some(Ok(frame)) = &frame
            && let Some(code) = frame.trailers_ref().and_then(code)
        {
            this.end.with(code);
        }
        Poll::Ready(frame)
    }
}

/// Counts how a call ends; one that is dropped before was given up by its caller.
#[derive(Default)]
struct End {
    calls: Option<(Arc<Calls>, Instant)>,
}

impl End {
    fn of(calls: &Arc<Calls>, arrival: Instant) -> Self {
        calls.started.inc();
        Self { calls: Some((Arc::clone(calls), arrival)) }
    }

    fn is_of_stream(&self) -> bool {
        self.calls.as_ref().is_some_and(|(calls, _)| calls.is_stream)
    }

    fn with(&mut self, code: i32) {
        if let Some((calls, started)) = self.calls.take() {
            calls.handled(code).inc();
            calls.seconds.observe(started.elapsed().as_secs_f64());
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.with(CANCELLED);
    }
}
