//! HTTP/2 frames in bytes, for sequences that no library sends.

use super::target::Target;
use crate::facade::{id, request};
use prost::Message;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// How long the server may take to close a connection on a busy machine.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const ENHANCE_YOUR_CALM: u32 = 11;

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn is_ping_ack(&self, payload: &[u8; 8]) -> bool {
        self.kind == PING && self.flags & ACK != 0 && self.payload == payload
    }

    /// Returns the error code, if this is a GOAWAY.
    pub fn goaway_code(&self) -> Option<u32> {
        let code = self.payload.get(4..8).filter(|_| self.kind == GOAWAY)?;
        Some(u32::from_be_bytes(code.try_into().expect("four bytes")))
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Encodes a header as an HPACK literal, without indexing and Huffman code.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    literal(0, name, value)
}

fn literal(representation: u8, name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![representation];
    for text in [name, value] {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text");
        bytes.push(length);
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// Encodes the headers of a call of GetLivenessResult.
pub fn call_headers() -> Vec<u8> {
    headers_to("/faceliveness.v1.FaceLivenessService/GetLivenessResult")
}

/// Encodes the headers of a call to this path.
pub fn headers_to(path: &str) -> Vec<u8> {
    pairs(path).iter().flat_map(|(name, value)| header(name, value)).collect()
}

/// Encodes the headers of a call twice: first as literals that enter HPACK's dynamic table, then as
/// one byte each that refers to an entry of the table (RFC 7541).
pub fn compressed_call_headers() -> [Vec<u8>; 2] {
    const INDEXED: u8 = 0x80;
    const INCREMENTAL_INDEXING: u8 = 0x40;
    const FIRST_DYNAMIC_INDEX: u8 = 62;
    let pairs = pairs("/faceliveness.v1.FaceLivenessService/GetLivenessResult");
    // The newest entry has the first index.
    let indexes = (0..pairs.len() as u8).rev().map(|age| INDEXED | (FIRST_DYNAMIC_INDEX + age)).collect();
    [pairs.iter().flat_map(|(name, value)| literal(INCREMENTAL_INDEXING, name, value)).collect(), indexes]
}

fn pairs(path: &str) -> [(&'static str, &str); 6] {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
}

/// Encodes the headers of a call to this path, plus `count` fields with a name of one letter and no
/// value. Each takes a byte on the wire and some hundred bytes in memory. `number` is the number of
/// the stream on its connection.
pub fn empty_fields(path: &str, count: usize, number: u32) -> Vec<u8> {
    fields(path, "", count, number)
}

/// Like [`empty_fields`], but with the most and largest fields that the server accepts.
pub fn large_fields(path: &str, number: u32) -> Vec<u8> {
    fields(path, &"a".repeat(100), 57, number)
}

fn fields(path: &str, value: &str, count: usize, number: u32) -> Vec<u8> {
    let mut block = headers_to(path);
    let mut rest = count;
    if number == 0 {
        // A literal with indexing: it becomes the newest entry of the HPACK table.
        block.extend([&[0x40, 1, b'x', value.len() as u8][..], value.as_bytes()].concat());
        rest -= 1;
    }
    block.extend(vec![0xbe; rest]);
    block
}

/// Adds the gRPC prefix to a message.
pub fn message(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a small message").to_be_bytes();
    [&[0], &length[..], content].concat()
}

/// Encodes the request for a session, with the gRPC prefix.
pub fn request_message(number: u32) -> Vec<u8> {
    message(&request(&id(number)).encode_to_vec())
}

/// Encodes a call with one message.
pub fn call(stream: u32, message: &[u8]) -> Vec<u8> {
    let headers = frame(HEADERS, END_HEADERS, stream, &call_headers());
    [headers, frame(DATA, END_STREAM, stream, message)].concat()
}

/// Connects to the gRPC port, and sends the preface with these settings.
pub async fn connect(target: &Target, settings: &[u8]) -> (Reader, OwnedWriteHalf) {
    connect_to(target.address(), settings).await
}

/// Connects to any port, and sends the preface with these settings.
pub async fn connect_to(address: SocketAddr, settings: &[u8]) -> (Reader, OwnedWriteHalf) {
    let mut stream = TcpStream::connect(address).await.expect("the port is open");
    stream.set_nodelay(true).expect("the connection is open");
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await.expect("the connection is open");
    split(stream)
}

fn split(stream: TcpStream) -> (Reader, OwnedWriteHalf) {
    let (read, write) = stream.into_split();
    (Reader(tokio::io::BufReader::new(read)), write)
}

pub struct Reader(tokio::io::BufReader<OwnedReadHalf>);

impl Reader {
    pub async fn frame(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, _stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await?;
        Ok(Frame { kind, flags, payload })
    }

    /// Reads until the server acknowledges the PING with this payload.
    pub async fn read_ping_ack(&mut self, payload: &[u8; 8]) {
        loop {
            let frame = self.frame().await.expect("the connection is open");
            if frame.is_ping_ack(payload) {
                return;
            }
        }
    }

    /// Reads until a frame of a response message.
    pub async fn read_data(&mut self) {
        while self.frame().await.expect("the connection is open").kind != DATA {}
    }

    /// Asserts that the server closes the connection, with this code if a GOAWAY arrives. A reset
    /// of the connection can overtake the GOAWAY.
    pub async fn assert_closed_with(&mut self, expected: u32) {
        let code = tokio::time::timeout(CLOSE_LIMIT, self.read_until_closed())
            .await
            .expect("the server closes the connection");
        assert!(code.is_none_or(|code| code == expected), "{code:?}");
    }

    /// Reads until the connection is closed. Returns the code of the last GOAWAY.
    pub async fn read_until_closed(&mut self) -> Option<u32> {
        let mut code = None;
        while let Ok(frame) = self.frame().await {
            code = frame.goaway_code().or(code);
        }
        code
    }
}
