//! HTTP/2 by the byte, for what no library would send.

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

/// On a busy machine.
const SOON: Duration = Duration::from_secs(10);

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
    /// Why a GOAWAY is sent.
    pub fn goaway_code(&self) -> Option<u32> {
        let code = self.payload.get(4..8).filter(|_| self.kind == GOAWAY)?;
        Some(u32::from_be_bytes(code.try_into().expect("four bytes")))
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header as it is, without index and Huffman code.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text");
        bytes.push(length);
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The headers of GetLivenessResult.
pub fn call_headers() -> Vec<u8> {
    headers_to("/faceliveness.v1.FaceLivenessService/GetLivenessResult")
}

/// The headers of a call to this path.
pub fn headers_to(path: &str) -> Vec<u8> {
    let pairs = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    pairs.iter().flat_map(|(name, value)| header(name, value)).collect()
}

/// The headers of a call to this path, with fields that have neither a value nor more than a letter
/// of a name: each is a byte on the wire, and some hundred bytes in memory. `number` is the
/// stream's on its connection.
pub fn empty_fields(path: &str, count: usize, number: u32) -> Vec<u8> {
    fields(path, "", count, number)
}

/// The same with as many and as large fields as are admitted.
pub fn large_fields(path: &str, number: u32) -> Vec<u8> {
    fields(path, &"a".repeat(100), 57, number)
}

fn fields(path: &str, value: &str, count: usize, number: u32) -> Vec<u8> {
    let mut block = headers_to(path);
    let mut rest = count;
    if number == 0 {
        // Literal with indexing: from now on it is the newest entry of HPACK's table.
        block.extend([&[0x40, 1, b'x', value.len() as u8][..], value.as_bytes()].concat());
        rest -= 1;
    }
    block.extend(vec![0xbe; rest]);
    block
}

/// A message with gRPC's prefix.
pub fn message(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a small message").to_be_bytes();
    [&[0], &length[..], content].concat()
}

/// The request for a session, with gRPC's prefix.
pub fn asking(number: u32) -> Vec<u8> {
    message(&request(&id(number)).encode_to_vec())
}

/// A call of one message.
pub fn call(stream: u32, message: &[u8]) -> Vec<u8> {
    let headers = frame(HEADERS, END_HEADERS, stream, &call_headers());
    [headers, frame(DATA, END_STREAM, stream, message)].concat()
}

/// A connection after the greeting.
pub async fn connect(target: &Target, settings: &[u8]) -> (Reader, OwnedWriteHalf) {
    connect_to(target.address(), settings).await
}

/// The same to any port.
pub async fn connect_to(address: SocketAddr, settings: &[u8]) -> (Reader, OwnedWriteHalf) {
    let mut stream = TcpStream::connect(address).await.expect("the port is open");
    stream.set_nodelay(true).expect("it is open");
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await.expect("it is open");
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

    /// Reads until the connection ends, which has to be soon and with a GOAWAY of this code. A
    /// connection that is closed on one who still sends may lose it on the way.
    pub async fn ends_with(&mut self, expected: u32) {
        let end = tokio::time::timeout(SOON, self.end()).await.expect("the connection is ended");
        assert!(end.is_none_or(|code| code == expected), "{end:?}");
    }

    /// Reads until the connection ends.
    pub async fn end(&mut self) -> Option<u32> {
        let mut code = None;
        while let Ok(frame) = self.frame().await {
            code = frame.goaway_code().or(code);
        }
        code
    }
}
