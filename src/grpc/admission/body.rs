//! The two bodies of a stream: the request's, which must arrive in time, and the response's, which
//! holds the permit.

use super::{
    Admission,
    incomplete::{Incomplete, RequestLimit},
    permit::Permit,
};
use crate::{
    error::{Context as ErrorContext, Error},
    grpc::{
        call::{Call, MAX_REQUEST_BYTES},
        delivery::Delivery,
        image_budget::Written,
    },
};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, http::Response},
};

/// How long a reflection stream may be idle. grpcurl keeps its own open during the call that it
/// makes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The most bytes of a request body with one message: gRPC's prefix and the message.
const MAX_BODY_BYTES: usize = 5 + MAX_REQUEST_BYTES;

type Frame = http_body::Frame<Bytes>;

pin_project! {
    /// A request body that ends with an error when it is too large or does not arrive.
    pub struct RequestBody {
        #[pin]
        body: Body,
        limit: RequestLimit,
        admission: Admission,
        // Created when the body is first pending.
        incomplete: Option<Incomplete>,
        // How many more bytes the client may send; None if it may send many messages.
        left: Option<usize>,
    }
}

impl RequestBody {
    /// Limits a body to one message, or to any number if `has_many_messages`. The message, or the
    /// first bytes of many, must arrive within `limit`.
    pub fn new(body: Body, has_many_messages: bool, limit: RequestLimit, admission: Admission) -> Self {
        let left = (!has_many_messages).then_some(MAX_BODY_BYTES);
        Self { body, limit, admission, incomplete: None, left }
    }
}

fn status(error: &Error) -> Status {
    error.to_status(&ErrorContext::default())
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame, Status>>> {
        let this = self.project();
        match this.body.poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let Some(left) = this.left else {
                    (*this.limit, *this.incomplete) = (RequestLimit::within(IDLE_TIMEOUT), None);
                    return Poll::Ready(Some(Ok(frame)));
                };
                match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                    Some(rest) => *left = rest,
                    None => return Poll::Ready(Some(Err(status(&Error::too_large("request", MAX_REQUEST_BYTES))))),
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => {
                let incomplete = this.incomplete.get_or_insert_with(|| this.limit.wait(this.admission.closing()));
                let error = ready!(incomplete.as_mut().poll(context));
                *this.incomplete = None;
                Poll::Ready(Some(Err(status(&error))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

pin_project! {
    /// A response body whose last frame, trailers or data, holds the stream's permit.
    pub struct ResponseBody<B> {
        #[pin]
        body: B,
        permit: Option<Permit>,
        // The call of the RPC, whose response has one frame of data.
        call: Option<Arc<Call>>,
        // Of a response with images.
        delivery: Option<Delivery>,
        written: Option<Written>,
    }
}

impl<B> ResponseBody<B> {
    pub const fn new(body: B, permit: Permit, call: Option<Arc<Call>>, delivery: Option<Delivery>) -> Self {
        Self { body, permit: Some(permit), call, delivery, written: None }
    }
}

impl<B: http_body::Body<Data = Bytes>> http_body::Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame, B::Error>>> {
        let mut this = self.project();
        if let Some(written) = this.written.as_mut() {
            ready!(Pin::new(written).poll(context)).ok();
            *this.written = None;
            // hyper polls a body only after it has looked for a reset of the stream, which drops
            // the message, too.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = ready!(this.body.as_mut().poll_frame(context));
        let Some(Ok(mut frame)) = frame else { return Poll::Ready(frame) };
        if let Some(trailers) = frame.trailers_mut() {
            this.delivery.take().inspect(Delivery::complete);
            if let Some(permit) = this.permit.take() {
                permit.attach(trailers);
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        let call = this.call.take();
        if (call.is_some() || this.body.is_end_stream())
            && let Some(permit) = this.permit.take()
        {
            frame = frame.map_data(|data| permit.own(data));
        }
        if let Some(delivery) = this.delivery {
            frame = frame.map_data(|data| {
                let (data, written) = delivery.attach(data);
                *this.written = Some(written);
                data
            });
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Permit {
    /// Returns the permit once HTTP/2 has written or dropped the last frame of `response`. The
    /// trailers of a response with images follow when its message is written.
    pub fn until_written(self, mut response: Response<Body>, call: Option<Arc<Call>>) -> Response<Body> {
        if http_body::Body::is_end_stream(response.body()) && response.headers().contains_key(Status::GRPC_STATUS) {
            self.attach(response.headers_mut());
            return response;
        }
        let delivery = response.extensions().get::<Delivery>().cloned();
        response.map(|body| Body::new(ResponseBody::new(body, self, call, delivery)))
    }
}
