//! The keys of the shared cache, and all that is done with them.
//!
//! A line of the key file is the root of two keys, by HKDF (RFC 5869): one seals values
//! (AES-256-GCM), the other names them (HMAC-SHA256 of the session id). Who holds the whole store
//! and no key file learns neither what was found nor about which session. Every value is bound to
//! its session and its kind, so that none opens in the place of another.

use crate::session::SessionId;
use aws_lc_rs::{
    aead::{self, Aad, Nonce, RandomizedNonceKey},
    hkdf, hmac,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use std::{fs, path::Path};

/// What the two keys are derived for. The number changes with what they are used for.
const SEALING: &[u8] = b"face-liveness-facade shared cache 1: sealing";
const NAMING: &[u8] = b"face-liveness-facade shared cache 1: naming";

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// A rotation takes two; each more is a look-up more for every miss.
const MAX_KEYS: usize = 4;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Result,
    Images,
    State,
}

/// The key that seals, and those that open too: never empty.
pub struct Keyring(Vec<Key>);

pub struct Key {
    sealing: RandomizedNonceKey,
    naming: hmac::Key,
}

impl Keyring {
    /// The keys of a file: one in base64 a line, 32 bytes each. The last line seals, every line
    /// opens.
    ///
    /// # Errors
    /// One sentence for an operator, without anything of the file's content.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let keys: Vec<_> = lines.map(|(index, line)| Key::parse(line.trim()).ok_or(index + 1)).collect();
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return Err(format!(
                "{} must hold 1 to {MAX_KEYS} keys, a line each, and holds {}: write one with `openssl rand -base64 32`",
                file.display(),
                keys.len()
            ));
        }
        let keys: Result<Vec<_>, _> = keys.into_iter().collect();
        keys.map(Self).map_err(|line| {
            format!(
                "{}, line {line}, must be {KEY_BYTES} bytes in base64: write it with `openssl rand -base64 32`",
                file.display()
            )
        })
    }

    /// The key that seals.
    pub fn newest(&self) -> &Key {
        self.0.last().expect("a keyring is never empty")
    }

    /// All keys, the one that seals first.
    pub fn all(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().rev()
    }
}

impl Key {
    fn parse(line: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(line).ok().filter(|bytes| bytes.len() == KEY_BYTES)?;
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&bytes);
        let derive = |purpose: &[u8]| {
            let mut key = [0; KEY_BYTES];
            let expanded =
                root.expand(&[purpose], hkdf::HKDF_SHA256).and_then(|key_material| key_material.fill(&mut key));
            expanded.expect("HKDF-SHA256 gives up to 255 times 32 bytes");
            key
        };
        Some(Self {
            sealing: RandomizedNonceKey::new(&aead::AES_256_GCM, &derive(SEALING)).expect("a key of 32 bytes"),
            naming: hmac::Key::new(hmac::HMAC_SHA256, &derive(NAMING)),
        })
    }

    /// What stands for the session in the names of its values: 128 bits in hex.
    pub fn name(&self, id: SessionId) -> String {
        let tag = hmac::sign(&self.naming, &id.to_bytes());
        tag.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// `value`, to be opened with this key only, and only as this `kind` of this session's.
    pub fn seal(&self, id: SessionId, kind: Kind, mut value: Vec<u8>) -> Vec<u8> {
        let nonce = self.sealing.seal_in_place_append_tag(Aad::from(bound(id, kind)), &mut value);
        let nonce = nonce.expect("a value is far shorter than AES-GCM's 64 GiB");
        let mut sealed = Vec::with_capacity(NONCE_BYTES + value.len());
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&value);
        sealed
    }

    /// What was sealed; nothing when it was anything else, by anyone else.
    pub fn open(&self, id: SessionId, kind: Kind, mut sealed: Vec<u8>) -> Option<Bytes> {
        let (nonce, value) = sealed.split_first_chunk_mut::<NONCE_BYTES>()?;
        let nonce = Nonce::from(&*nonce);
        let length = self.sealing.open_in_place(nonce, Aad::from(bound(id, kind)), value).ok()?.len();
        Some(Bytes::from(sealed).slice(NONCE_BYTES..NONCE_BYTES + length))
    }
}

/// What a value is bound to (GCM's associated data).
fn bound(id: SessionId, kind: Kind) -> [u8; 17] {
    let mut bound = [kind as u8; 17];
    bound[1..].copy_from_slice(&id.to_bytes());
    bound
}

#[cfg(test)]
mod tests;
