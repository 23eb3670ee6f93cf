//! The parser of Envoy's `x-forwarded-client-cert` header: elements separated by `,`, each with
//! pairs `Key=value` separated by `;`. A value that contains a separator is quoted.
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert>
//!
//! A sidecar that appends writes the last element; the text before it is the client's own claim. So
//! a claim must not shift where the last element begins, by an unbalanced quote. Therefore the
//! whole header must be well-formed, including the claim. A claim that ends inside quotes swaps
//! quoted and unquoted text after it. Then either a quote is where none is allowed, or each quote
//! of the sidecar opens instead of closing and the last one is never closed. Escapes do not help
//! the client: an opening quote follows a `=`, never a backslash.
//!
//! The values that the sidecar copies from a certificate are trusted, without quotes as Envoy
//! copies them: a CA that signs URIs with commas in them signs elements.

use std::borrow::Cow;

/// Envoy allows 60 KiB of headers in total. A certificate with its chain has a few KiB.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// A workload's certificate has one or two names, none longer than DNS allows.
const MAX_NAMES: usize = 16;
const MAX_NAME_BYTES: usize = 256;

/// A header that no sidecar writes. The error does not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Returns the client's names: the URIs of the last element, and then its DNS names. Empty if the
/// client's certificate has none.
///
/// # Errors
/// An element is malformed, or the names are too many, too long or not printable ASCII.
pub fn peer_names(header: &str) -> Result<Vec<String>, Malformed> {
    if header.len() > MAX_HEADER_BYTES {
        return Err(Malformed);
    }
    let (mut names, mut dns_names) = (Vec::new(), Vec::new());
    let mut rest = header;
    loop {
        let (key, value, after) = pair(rest)?;
        // Envoy writes an empty URI for a certificate without one.
        if key.eq_ignore_ascii_case("URI") && !value.is_empty() {
            names.push(value.into_owned());
        } else if key.eq_ignore_ascii_case("DNS") && !value.is_empty() {
            dns_names.push(value.into_owned());
        }
        let mut after = after.chars();
        rest = match after.next() {
            None => break,
            Some(';') => after.as_str(),
            Some(',') => {
                names.clear();
                dns_names.clear();
                // A proxy that joins header lines adds a space.
                after.as_str().trim_start_matches([' ', '\t'])
            }
            // A quote within a value, or text after a quoted value.
            Some(_) => return Err(Malformed),
        };
    }
    names.append(&mut dns_names);
    let is_valid = |name: &String| name.len() <= MAX_NAME_BYTES && name.bytes().all(|byte| byte.is_ascii_graphic());
    if names.len() <= MAX_NAMES && names.iter().all(is_valid) { Ok(names) } else { Err(Malformed) }
}

/// Parses one pair. Returns its key, its value, and the text after it.
fn pair(text: &str) -> Result<(&str, Cow<'_, str>, &str), Malformed> {
    let (key, rest) = text.split_once('=').ok_or(Malformed)?;
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Malformed);
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, rest) = unquote(quoted)?;
        return Ok((key, value.into(), rest));
    }
    let (value, rest) = rest.split_at(rest.find([';', ',', '"']).unwrap_or(rest.len()));
    Ok((key, value.into(), rest))
}

/// Returns the text before the closing quote, without escapes, and the text after the quote. A
/// backslash escapes any character, not only a quote: Envoy writes subjects as in RFC 2253, where a
/// backslash is `\\`.
fn unquote(text: &str) -> Result<(String, &str), Malformed> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next().ok_or(Malformed)? {
            '"' => return Ok((value, characters.as_str())),
            '\\' => value.push(characters.next().ok_or(Malformed)?),
            character => value.push(character),
        }
    }
}

#[cfg(test)]
mod tests;
