//! A bare HTTP/2 server that sends fixed bytes, without a gRPC library.

use http_body_util::{BodyExt, StreamBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Frame, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use tokio::net::TcpListener;

pub async fn serve(listener: TcpListener, message: Vec<u8>) {
    let head = [&[0][..], &u32::try_from(message.len()).expect("the length fits 32 bits").to_be_bytes()].concat();
    let body = Bytes::from([head, message].concat());
    loop {
        let (stream, _) = listener.accept().await.expect("the port is open");
        stream.set_nodelay(true).expect("it is TCP");
        let body = body.clone();
        let service = service_fn(move |request: Request<Incoming>| respond(request, body.clone()));
        tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
    }
}

async fn respond(
    request: Request<Incoming>,
    body: Bytes,
) -> Result<Response<StreamBody<impl tokio_stream::Stream<Item = Result<Frame<Bytes>, Infallible>>>>, Infallible> {
    drop(request.into_body().collect().await);
    let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]);
    let frames = tokio_stream::iter([Ok(Frame::data(body)), Ok(Frame::trailers(trailers))]);
    let mut response = Response::new(StreamBody::new(frames));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}
