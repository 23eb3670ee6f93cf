//! A response body that stops halfway.
//!
//! It fails with an error, because only an error makes the server close the connection at once.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use tokio_stream::Stream;

/// Returns a body with the first half of `whole`. It fails when `until` completes.
pub(crate) fn body(whole: &Bytes, until: impl Future<Output = ()> + Send + 'static) -> Body {
    let half = whole.slice(..whole.len() / 2);
    Body::from_stream(TruncatedBody { half: Some(half), flushed: false, until: Box::pin(until) })
}

struct TruncatedBody {
    half: Option<Bytes>,
    flushed: bool,
    until: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Stream for TruncatedBody {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(half)));
        }
        if !self.flushed {
            // The server flushes when a body is pending. An immediate error would close the
            // connection before the half is sent.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(Some(Err(io::Error::other("scripted fault"))))
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn an_error_follows_half_of_the_body() {
        let mut stream = body(&Bytes::from_static(b"abcdef"), async {}).into_data_stream();
        assert_eq!(stream.next().await.unwrap().unwrap(), "abc");
        assert!(stream.next().await.unwrap().is_err());
    }
}
