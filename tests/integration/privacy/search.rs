//! The search for what is planted, in every form in which it could be printed, written or sent.

use super::planted::{self, BUCKET, CONFIDENCE, FACE, KEY};
use aws_smithy_types::base64;
use std::{collections::BTreeMap, sync::LazyLock};

/// How every JPEG with a JFIF header begins, the simulator's faces too.
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

/// Forms by their first byte, so that a search is one pass.
struct Forms(Vec<Vec<(Secret, Vec<u8>)>>);

static FORMS: LazyLock<Forms> = LazyLock::new(|| Forms::of(all()));

/// A score of fewer digits, or of another scale, may be how long something took: these are looked
/// for where no time is.
static ROUNDED: LazyLock<Forms> = LazyLock::new(|| {
    let texts = ["87.654", "87.65", "87.7", "8.765", "0.8765"];
    Forms::of(texts.map(|text| (Secret::Confidence, text.into())).into())
});

/// Which secrets are in there, each with what is around it, for whoever mends the leak.
pub type Found = BTreeMap<Secret, String>;

pub fn found(bytes: &[u8]) -> Found {
    let squeezed = squeezed(bytes);
    let mut found = FORMS.within(&squeezed);
    found.extend(FORMS.within(bytes));
    found
}

/// The same for what holds no time.
pub fn found_rounded_too(bytes: &[u8]) -> Found {
    let mut found = found(bytes);
    found.extend(ROUNDED.within(bytes));
    found
}

/// Without white space, in JSON's spelling of it too: a list printed over many lines becomes one.
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

impl Forms {
    fn of(forms: Vec<(Secret, Vec<u8>)>) -> Self {
        let mut by_first = vec![Vec::new(); 256];
        for (secret, form) in forms {
            by_first[usize::from(form[0])].push((secret, form));
        }
        Self(by_first)
    }

    fn within(&self, bytes: &[u8]) -> Found {
        let mut found = Found::new();
        for (at, first) in bytes.iter().enumerate() {
            for (secret, form) in &self.0[usize::from(*first)] {
                if bytes[at..].starts_with(form) {
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
    // What all planted ids have in common.
    let [first, last] = [&id[..8], &id[24..33]];
    let number = &bits.to_string()[..33];
    let half = (bits >> 64).to_string();
    let [exact, widened] = [87.65432_f64, f64::from(CONFIDENCE)];
    let mut forms = Vec::new();
    let mut add = |secret, bytes: &[u8]| forms.extend(encodings(bytes).into_iter().map(|form| (secret, form)));
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
            forms.push((Secret::Confidence, text.into()));
        }
    }
    for number in [exact, widened] {
        forms.extend([number.to_le_bytes(), number.to_be_bytes()].map(|bytes| (Secret::Confidence, bytes.into())));
    }
    forms.extend([CONFIDENCE.to_le_bytes(), CONFIDENCE.to_be_bytes()].map(|bytes| (Secret::Confidence, bytes.into())));
    forms
}

/// As they are, as a string's escapes, in hex, in lists, and in base64 wherever in a longer text
/// they stand.
fn encodings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let joined = |byte: fn(u8) -> String, separator: &str| {
        let bytes: Vec<_> = bytes.iter().map(|number| byte(*number)).collect();
        bytes.join(separator)
    };
    let lower = joined(|byte| format!("{byte:02x}"), "");
    let escaped = bytes.escape_ascii().to_string();
    let mut forms = vec![
        lower.to_uppercase(),
        joined(|byte| format!("{byte:02x}"), ":"),
        joined(|byte| byte.to_string(), ","),
        joined(|byte| format!("{byte:x}"), ","),
        joined(|byte| format!("{byte:X}"), ","),
        joined(|byte| format!("{byte:02x}"), ","),
        joined(|byte| format!("{byte:02X}"), ","),
        joined(|byte| format!("0x{byte:02x}"), ","),
        // JSON has a backslash of its own for each.
        escaped.replace('\\', r"\\"),
        // As `Bytes` prints it.
        escaped.replace(r"\x00", r"\0"),
        escaped.replace(r"\x00", r"\0").replace('\\', r"\\"),
        escaped,
        lower,
    ];
    for before in 0..3 {
        let whole = base64::encode([&vec![0; before][..], bytes].concat());
        // The characters that depend on these bytes alone.
        let aligned = &whole[(before * 8).div_ceil(6)..(before + bytes.len()) * 8 / 6];
        forms.extend([aligned.to_owned(), aligned.replace('+', "-").replace('/', "_")]);
    }
    forms.into_iter().map(String::into_bytes).chain([bytes.to_vec()]).collect()
}

#[cfg(test)]
mod tests;
