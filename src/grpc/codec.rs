//! The codec that `build.rs` gives to the generated service: prost's, with buffers of the size that
//! a message needs.
//!
//! tonic's own codec allocates two buffers of 8 KiB for each call, and grows the response's as it
//! is encoded.

use crate::error::{Context, Error};
use prost::Message;
use std::marker::PhantomData;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// Most responses without images fit into it.
const RESPONSE_BUFFER_BYTES: usize = 512;

/// A request is a session id and a few numbers.
const REQUEST_BUFFER_BYTES: usize = 128;

/// Encodes messages of type `T` and decodes one message of type `U`.
pub struct MessageCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for MessageCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: Message + Default + Send + 'static> Codec for MessageCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = MessageEncoder<T>;
    type Decoder = OneMessage<U>;

    fn encoder(&mut self) -> MessageEncoder<T> {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> OneMessage<U> {
        OneMessage { is_decoded: false, message: PhantomData }
    }
}

pub struct MessageEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for MessageEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.encoded_len());
        message.encode_raw(buffer);
        Ok(())
    }

    // One frame for each message, so that the permit of its images can be attached to it.
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(RESPONSE_BUFFER_BYTES, usize::MAX)
    }
}

/// Rejects a second message, which tonic would ignore.
pub struct OneMessage<U> {
    is_decoded: bool,
    message: PhantomData<U>,
}

impl<U: Message + Default> Decoder for OneMessage<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let is_second = std::mem::replace(&mut self.is_decoded, true);
        let message = U::decode(buffer).ok().filter(|_| !is_second);
        message.map(Some).ok_or_else(|| Error::malformed_message().to_status(&Context::default()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(REQUEST_BUFFER_BYTES, usize::MAX)
    }
}
