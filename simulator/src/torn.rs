//! A response body that promises all of an answer and gives half.
//!
//! The break is an error and never an end, for only an error makes the server close the connection
//! at once.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use tokio_stream::Stream;

/// Half of `whole`, and when `until` is done, a broken connection.
pub(crate) fn body(whole: &Bytes, until: impl Future<Output = ()> + Send + 'static) -> Body {
    let half = whole.slice(..whole.len() / 2);
    Body::from_stream(Torn { half: Some(half), flushed: false, until: Box::pin(until) })
}

struct Torn {
    half: Option<Bytes>,
    flushed: bool,
    until: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Stream for Torn {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(half)));
        }
        if !self.flushed {
            // The server writes out what it has when a body has nothing more for now. With the
            // error at once, the half would be dropped with the connection.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(Some(Err(io::Error::other("scripted break"))))
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn half_comes_and_then_an_error() {
        let mut stream = body(&Bytes::from_static(b"abcdef"), async {}).into_data_stream();
        assert_eq!(stream.next().await.unwrap().unwrap(), "abc");
        assert!(stream.next().await.unwrap().is_err());
    }
}
