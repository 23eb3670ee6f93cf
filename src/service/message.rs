//! An answer as it goes on the wire: encoded but for the faces in it, which are the cache's own bytes.
//!
//! prost would copy them into one buffer, which grows as it goes, and HTTP/2 takes them in parts anyway.

use super::response::Response;
use crate::proto;
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len, message},
};
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};
use tonic::{
    Status,
    codegen::{
        Bytes,
        http::{HeaderMap, HeaderValue},
    },
};

/// `result` in a GetLivenessResultResponse, the images in it, and their `content`.
const RESULT: u32 = 1;
const REFERENCE_IMAGE: u32 = 4;
const AUDIT_IMAGES: u32 = 5;
const CONTENT: u32 = 1;

/// gRPC's head of a message: that it is not compressed, and how long it is.
pub const HEAD: usize = 5;

/// A message with its head, in pieces, none of them empty; and then the word that all is well.
#[derive(Default)]
pub struct Message {
    pieces: VecDeque<Bytes>,
    last: Vec<u8>,
    is_ended: bool,
}

impl Message {
    pub fn of(response: &Response) -> Self {
        let mut this = match response.image_bytes() {
            0 => Self::whole(response),
            _ => Self::with_images(response),
        };
        this.flush();
        this
    }

    /// The next bytes of it, a copy of so many at most.
    pub fn copy(&mut self, most: usize) -> Option<Bytes> {
        let mut part = Vec::with_capacity(most.min(self.pieces.iter().map(Bytes::len).sum()));
        while let Some(piece) = self.pieces.front_mut().filter(|_| part.len() < most) {
            let fitting = piece.len().min(most - part.len());
            part.extend_from_slice(&piece.split_to(fitting));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        (!part.is_empty()).then(|| part.into())
    }

    /// What ends it, once.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        let trailers = || HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
        (!std::mem::replace(&mut self.is_ended, true)).then(trailers)
    }

    fn whole(response: &Response) -> Self {
        let result = &response.outcome.result;
        let bytes = message::encoded_len(RESULT, result) + response.rest.encoded_len();
        let mut this = Self::begun(bytes, bytes);
        message::encode(RESULT, result, &mut this.last);
        this.rest(&response.rest);
        this
    }

    fn with_images(response: &Response) -> Self {
        let mut plain = response.outcome.result.clone();
        let (reference, audit) = (plain.reference_image.take(), std::mem::take(&mut plain.audit_images));
        let audit_content = response.audit().iter().map(Some).chain(std::iter::repeat(None));
        let reference =
            reference.iter().map(|rest| Image { tag: REFERENCE_IMAGE, rest, content: response.reference() });
        let audit = audit.iter().zip(audit_content).map(|(rest, content)| Image { tag: AUDIT_IMAGES, rest, content });
        let images: Vec<_> = reference.chain(audit).collect();

        let result = plain.encoded_len() + images.iter().map(|image| framed(image.tag, image.len())).sum::<usize>();
        let bytes = framed(RESULT, result) + response.rest.encoded_len();
        let mut this = Self::begun(bytes, bytes - response.image_bytes());
        this.begin(RESULT, result);
        this.rest(&plain);
        images.iter().for_each(|image| this.image(image));
        this.rest(&response.rest);
        this
    }

    fn image(&mut self, image: &Image<'_>) {
        self.begin(image.tag, image.len());
        self.rest(image.rest);
        if let Some(content) = image.content() {
            self.begin(CONTENT, content.len());
            self.flush();
            self.pieces.push_back(content.clone());
        }
    }

    /// A message of so many bytes, of which so many are written here.
    fn begun(bytes: usize, written: usize) -> Self {
        let mut last = Vec::with_capacity(HEAD + written);
        last.push(0);
        last.extend(u32::try_from(bytes).expect("AWS's answer is limited to a few megabytes").to_be_bytes());
        Self { last, ..Self::default() }
    }

    /// The start of a field of so many bytes.
    fn begin(&mut self, tag: u32, bytes: usize) {
        encode_key(tag, WireType::LengthDelimited, &mut self.last);
        encode_varint(bytes as u64, &mut self.last);
    }

    fn rest(&mut self, fields: &impl prost::Message) {
        fields.encode(&mut self.last).expect("a vector grows");
    }

    fn flush(&mut self) {
        if !self.last.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.last).into());
        }
    }
}

impl http_body::Body for Message {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        let piece = self.pieces.pop_front().map(http_body::Frame::data);
        Poll::Ready(piece.or_else(|| self.trailers().map(http_body::Frame::trailers)).map(Ok))
    }
}

/// An image, which is everything but its content, and the content.
struct Image<'a> {
    tag: u32,
    rest: &'a proto::LivenessImage,
    content: Option<&'a Bytes>,
}

impl Image<'_> {
    /// protobuf leaves out what is empty.
    fn content(&self) -> Option<&Bytes> {
        self.content.filter(|content| !content.is_empty())
    }

    fn len(&self) -> usize {
        self.rest.encoded_len() + self.content().map_or(0, |content| framed(CONTENT, content.len()))
    }
}

/// How long a field of so many bytes is.
const fn framed(tag: u32, bytes: usize) -> usize {
    key_len(tag) + encoded_len_varint(bytes as u64) + bytes
}

#[cfg(test)]
impl From<Bytes> for Message {
    fn from(piece: Bytes) -> Self {
        Self { pieces: [piece].into(), ..Self::default() }
    }
}
