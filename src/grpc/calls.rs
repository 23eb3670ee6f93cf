//! The tower layer that counts and times the calls of the gRPC port, ends its streams at a
//! shutdown, and strips tonic's own error messages.

use super::{
    call_count::{self, CallCount},
    delivery::Delivery,
    metrics::CallMetrics,
};
use crate::error::{Error, Reason};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{
    Status,
    body::Body,
    codegen::{
        Bytes,
        http::{HeaderMap, HeaderName, Request, Response},
    },
};
use tower::Service;

/// gRPC's UNKNOWN.
const UNKNOWN: i32 = 2;

/// A service whose calls are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    metrics: Arc<CallMetrics>,
    shutdown: Arc<CancellationToken>,
}

impl<S> Counted<S> {
    /// `shutdown` ends the streams that nothing else ends.
    pub const fn new(inner: S, metrics: Arc<CallMetrics>, shutdown: Arc<CancellationToken>) -> Self {
        Self { inner, metrics, shutdown }
    }
}

impl<S: Service<Request<Body>, Response = Response<Body>>> Service<Request<Body>> for Counted<S> {
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = CountedFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let count = CallCount::of(self.metrics.method(request.uri().path()), Instant::now());
        // A unary call ends by itself.
        let shutdown = count.is_of_stream().then(|| self.shutdown.as_ref().clone());
        CountedFuture { response: self.inner.call(request), count, shutdown }
    }
}

pin_project! {
    /// A call until its response begins.
    pub struct CountedFuture<F> {
        #[pin]
        response: F,
        count: CallCount,
        shutdown: Option<CancellationToken>,
    }
}

impl<F: Future<Output = Result<Response<Body>, E>>, E> Future for CountedFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(context))?;
        // A response without a body has its status in the headers.
        if http_body::Body::is_end_stream(response.body())
            && let Some(code) = code(response.headers())
        {
            strip_tonic_message(response.headers_mut());
            this.count.end(code);
            return Poll::Ready(Ok(response));
        }
        if let Some(delivery) = response.extensions_mut().remove::<Delivery>() {
            delivery.count_with(std::mem::take(this.count));
            return Poll::Ready(Ok(response));
        }
        if let Some(shutdown) = this.shutdown.take() {
            let (count, shutdown) = (std::mem::take(this.count), shutdown.cancelled_owned());
            return Poll::Ready(Ok(response.map(|body| Body::new(CountedBody { body, count, shutdown }))));
        }
        this.count.end(call_count::OK);
        Poll::Ready(Ok(response))
    }
}

/// Returns the gRPC code in the headers or trailers of a response, if there is one.
fn code(headers: &HeaderMap) -> Option<i32> {
    let status = headers.get(Status::GRPC_STATUS)?;
    Some(status.to_str().ok().and_then(|status| status.parse().ok()).unwrap_or(UNKNOWN))
}

const STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Removes the message of a status that tonic made, which is one without details. Its messages
/// repeat what a client sent, such as a symbol that reflection does not know, and clients and
/// proxies log them.
fn strip_tonic_message(headers: &mut HeaderMap) {
    if !headers.contains_key(STATUS_DETAILS) {
        headers.remove(Status::GRPC_MESSAGE);
    }
}

pin_project! {
    /// The responses of a stream, which ends with its trailers.
    struct CountedBody {
        #[pin]
        body: Body,
        count: CallCount,
        // An open stream would delay the shutdown.
        #[pin]
        shutdown: WaitForCancellationFutureOwned,
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        let mut frame = match this.body.poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(this.shutdown.poll(context));
                Some(Ok(http_body::Frame::trailers(Error::new(Reason::ShuttingDown).to_trailers())))
            }
        };
        if let Some(trailers) = frame.as_mut().and_then(|frame| frame.as_mut().ok()?.trailers_mut()) {
            strip_tonic_message(trailers);
        }
        if let Some(Ok(frame)) = &frame
            && let Some(code) = frame.trailers_ref().and_then(code)
        {
            this.count.end(code);
        }
        Poll::Ready(frame)
    }
}
