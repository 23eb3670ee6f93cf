//! The names in Envoy's `x-forwarded-client-cert`: elements apart by `,`, each of `Key=value` pairs
//! apart by `;`, a value quoted where it holds either.
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert>
//!
//! A sidecar that appends writes the last element, and what stands before it is what the peer
//! claims. So all hangs on where the last element begins, which nobody may shift by a quote left
//! open or a quote too many: whatever is not entirely well-formed is refused, the peer's claims
//! included. A claim that ends within quotes turns quoted and unquoted round in what follows. A
//! quote then either stands where none may, or opens where the sidecar closes and closes where it
//! opens, and so the last is never closed. Escapes do not help: an opening quote follows a `=`,
//! never a backslash.
//!
//! What the sidecar copies from a certificate is believed, unquoted as Envoy copies it: a
//! certificate authority that signs URIs with commas in them signs elements.

use std::{borrow::Cow, error, fmt};

/// Envoy takes 60 KiB of headers in all. A certificate with its chain has a few KiB, and whoever
/// sends more is not a sidecar of ours.
const MAX_HEADER: usize = 16 * 1024;

/// A workload's certificate has one name or two, none longer than DNS allows.
const MAX_NAMES: usize = 16;
const MAX_NAME: usize = 256;

/// The header is not what a sidecar writes. Its text is not told: it is the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the x-forwarded-client-cert header is malformed")
    }
}

impl error::Error for Malformed {}

/// The names of the nearest proxy's peer, who is our caller: of the last element, its URIs and then
/// its DNS names. None when its certificate has none.
///
/// # Errors
/// Malformed when any element is, or when the names are too many, too long or not of visible ASCII.
pub fn peer_names(value: &str) -> Result<Vec<String>, Malformed> {
    if value.len() > MAX_HEADER {
        return Err(Malformed);
    }
    let mut element = Vec::new();
    let mut rest = value;
    loop {
        let (pair, end) = Pair::read(rest)?;
        element.push(pair);
        rest = match end {
            End::Pair(next) => next,
            End::Element(next) => {
                element.clear();
                // Proxies that join the lines of a list put a space there.
                next.trim_start_matches([' ', '\t'])
            }
            End::Header => return names(&element),
        }
    }
}

fn names(element: &[Pair<'_>]) -> Result<Vec<String>, Malformed> {
    let of = |key: &'static str| element.iter().filter(move |pair| pair.key.eq_ignore_ascii_case(key));
    // Envoy writes an empty URI for a certificate without one.
    let names = of("URI").chain(of("DNS")).map(|pair| pair.value.as_ref()).filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    let sound = |name: &String| name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_graphic());
    if names.len() <= MAX_NAMES && names.iter().all(sound) { Ok(names) } else { Err(Malformed) }
}

struct Pair<'a> {
    key: &'a str,
    value: Cow<'a, str>,
}

/// What a pair is ended by, and what follows.
enum End<'a> {
    Pair(&'a str),
    Element(&'a str),
    Header,
}

impl<'a> Pair<'a> {
    fn read(text: &'a str) -> Result<(Self, End<'a>), Malformed> {
        let (key, rest) = text.split_once('=').ok_or(Malformed)?;
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Malformed);
        }
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, rest) = rest.split_at(rest.find([';', ',', '"']).unwrap_or(rest.len()));
                (Cow::Borrowed(value), rest)
            }
        };
        let mut rest = rest.chars();
        let end = match rest.next() {
            None => End::Header,
            Some(';') => End::Pair(rest.as_str()),
            Some(',') => End::Element(rest.as_str()),
            // A quote within a value, or text behind a quoted one.
            Some(_) => return Err(Malformed),
        };
        Ok((Self { key, value }, end))
    }
}

/// What is quoted up to the closing quote, and what follows it. A backslash takes away the meaning
/// of any character, not of a quote alone: Envoy writes subjects in the manner of RFC 2253, where a
/// backslash itself is `\\`.
fn unquoted(text: &str) -> Result<(Cow<'_, str>, &str), Malformed> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next().ok_or(Malformed)? {
            '"' => return Ok((value.into(), characters.as_str())),
            '\\' => value.push(characters.next().ok_or(Malformed)?),
            character => value.push(character),
        }
    }
}

#[cfg(test)]
mod tests;
