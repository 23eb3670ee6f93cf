//! Parses inputs in the style of HTTP, so that people can read and write the corpus.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue},
};

/// A line, header lines, an empty line, and the body.
pub(super) struct Message<'a> {
    pub first: &'a str,
    pub headers: HeaderMap,
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Parses a message. Lines that are no headers are skipped, so that mutated inputs stay useful.
    pub fn read(data: &'a [u8]) -> Self {
        let (head, body) = split(data, b"\n\n").unwrap_or((data, b""));
        let mut lines = head.split(|&byte| byte == b'\n');
        let first = lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
        let headers = lines.filter_map(|line| {
            let (name, value) = split(line, b":")?;
            Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value.trim_ascii()).ok()?))
        });
        Self { first, headers: headers.collect(), body }
    }

    pub fn body(&self) -> Body {
        self.body.to_vec().into()
    }
}

pub(super) fn split<'a>(data: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = data.windows(mark.len()).position(|window| window == mark)?;
    Some((&data[..at], &data[at + mark.len()..]))
}

/// Whether a text has 1 to 64 letters, digits and `marks`, as the contract requires.
pub(super) fn is_sanitized(text: &str, marks: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
}
