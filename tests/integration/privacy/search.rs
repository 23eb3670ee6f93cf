//! Searches for the planted data in every encoding in which it could be printed, written or sent.

use super::planted::{self, BUCKET, CONFIDENCE, FACE, KEY};
use aws_smithy_types::base64;
use std::{collections::BTreeMap, sync::LazyLock};

/// The first bytes of every JPEG with a JFIF header, including the simulator's images.
pub const HEAD: &[u8; 12] = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Secret {
    Image,
    Confidence,
    Key,
    Session,
}

impl Secret {
    pub const ALL: [(Self, &str); 4] = [
        (Self::Image, "image content"),
        (Self::Confidence, "confidence"),
        (Self::Key, "S3 key of an image"),
        (Self::Session, "session id"),
    ];
}

/// Encodings by their first byte, so that a search needs one pass.
struct Encodings(Vec<Vec<(Secret, Vec<u8>)>>);

static ENCODINGS: LazyLock<Encodings> = LazyLock::new(|| Encodings::new(all()));

/// Scores with fewer digits or another scale. A duration can equal them, so they are searched only in
/// data without durations.
static ROUNDED: LazyLock<Encodings> = LazyLock::new(|| {
    let texts = ["87.654", "87.65", "87.7", "8.765", "0.8765"];
    Encodings::new(texts.map(|text| (Secret::Confidence, text.into())).into())
});

/// The secrets that were found, each with the surrounding text.
pub type Found = BTreeMap<Secret, String>;

/// Searches all encodings of all secrets.
pub fn found(bytes: &[u8]) -> Found {
    let squeezed = squeezed(bytes);
    let mut found = ENCODINGS.within(&squeezed);
    found.extend(ENCODINGS.within(bytes));
    found
}

/// Like [`found`], plus rounded scores. For data without durations.
pub fn found_rounded_too(bytes: &[u8]) -> Found {
    let mut found = found(bytes);
    found.extend(ROUNDED.within(bytes));
    found
}

/// Removes white space, including escaped line breaks in JSON, so that a list printed over many lines
/// becomes one line.
fn squeezed(bytes: &[u8]) -> Vec<u8> {
    let text: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let mut squeezed = Vec::with_capacity(text.len());
    let mut rest = &text[..];
    while let Some((&byte, after)) = rest.split_first() {
        rest = rest.strip_prefix(b"\\n").unwrap_or_else(|| {
            squeezed.push(byte);
            after
        });
    }
    squeezed
}

impl Encodings {
    fn new(encodings: Vec<(Secret, Vec<u8>)>) -> Self {
        let mut by_first = vec![Vec::new(); 256];
        for (secret, encoding) in encodings {
            by_first[usize::from(encoding[0])].push((secret, encoding));
        }
        Self(by_first)
    }

    fn within(&self, bytes: &[u8]) -> Found {
        let mut found = Found::new();
        for (at, first) in bytes.iter().enumerate() {
            for (secret, encoding) in &self.0[usize::from(*first)] {
                if bytes[at..].starts_with(encoding) {
                    let around = &bytes[at.saturating_sub(60)..bytes.len().min(at + 60)];
                    found.entry(*secret).or_insert_with(|| String::from_utf8_lossy(around).into_owned());
                }
            }
        }
        found
    }
}

fn all() -> Vec<(Secret, Vec<u8>)> {
    let id = planted::id(0);
    let bits = u128::from_str_radix(&id.replace('-', ""), 16).expect("an id is hex");
    // The parts that all planted ids share.
    let [first, last] = [&id[..8], &id[24..33]];
    let number = &bits.to_string()[..33];
    let half = (bits >> 64).to_string();
    let [exact, widened] = [87.65432_f64, f64::from(CONFIDENCE)];
    let mut encodings = Vec::new();
    let mut add =
        |secret, bytes: &[u8]| encodings.extend(encodings_of(bytes).into_iter().map(|encoding| (secret, encoding)));
    for bytes in [HEAD, FACE] {
        add(Secret::Image, bytes);
    }
    for text in [BUCKET, KEY] {
        add(Secret::Key, text.as_bytes());
    }
    for text in [first, last, &first.to_uppercase(), &last.to_uppercase(), number, &half] {
        add(Secret::Session, text.as_bytes());
    }
    add(Secret::Session, &bits.to_be_bytes()[..14]);
    add(Secret::Session, &bits.to_le_bytes()[2..]);
    add(Secret::Confidence, b"87.6543");
    for number in [u64::from(CONFIDENCE.to_bits()), exact.to_bits(), widened.to_bits()] {
        for text in [number.to_string(), format!("{number:x}"), format!("{number:X}")] {
            encodings.push((Secret::Confidence, text.into()));
        }
    }
    for number in [exact, widened] {
        encodings.extend([number.to_le_bytes(), number.to_be_bytes()].map(|bytes| (Secret::Confidence, bytes.into())));
    }
    encodings
        .extend([CONFIDENCE.to_le_bytes(), CONFIDENCE.to_be_bytes()].map(|bytes| (Secret::Confidence, bytes.into())));
    encodings
}

/// Returns the bytes as they are, as string escapes, in hex, in lists, and in base64 at each of the
/// three alignments.
fn encodings_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let joined = |byte: fn(u8) -> String, separator: &str| {
        let bytes: Vec<_> = bytes.iter().map(|number| byte(*number)).collect();
        bytes.join(separator)
    };
    let lower = joined(|byte| format!("{byte:02x}"), "");
    let escaped = bytes.escape_ascii().to_string();
    let mut encodings = vec![
        lower.to_uppercase(),
        joined(|byte| format!("{byte:02x}"), ":"),
        joined(|byte| byte.to_string(), ","),
        joined(|byte| format!("{byte:x}"), ","),
        joined(|byte| format!("{byte:X}"), ","),
        joined(|byte| format!("{byte:02x}"), ","),
        joined(|byte| format!("{byte:02X}"), ","),
        joined(|byte| format!("0x{byte:02x}"), ","),
        // JSON escapes each backslash.
        escaped.replace('\\', r"\\"),
        // The `Debug` of `Bytes`.
        escaped.replace(r"\x00", r"\0"),
        escaped.replace(r"\x00", r"\0").replace('\\', r"\\"),
        escaped,
        lower,
    ];
    for before in 0..3 {
        let whole = base64::encode([&vec![0; before][..], bytes].concat());
        // The characters that depend only on these bytes.
        let aligned = &whole[(before * 8).div_ceil(6)..(before + bytes.len()) * 8 / 6];
        encodings.extend([aligned.to_owned(), aligned.replace('+', "-").replace('/', "_")]);
    }
    encodings.into_iter().map(String::into_bytes).chain([bytes.to_vec()]).collect()
}

#[cfg(test)]
mod tests;
