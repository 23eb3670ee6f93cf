//! The keys of the shared cache.
//!
//! HKDF (RFC 5869) derives two keys from each line of the key file. One encrypts values
//! (AES-256-GCM), the other one makes their names (HMAC-SHA256 of the session id). All of Redis
//! without the key file reveals neither results nor session ids. A value is bound to its session
//! and its kind (associated data), so one value cannot replace another.

use crate::session::SessionId;
use aws_lc_rs::{
    aead::{self, Aad, Nonce, RandomizedNonceKey},
    hkdf, hmac,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use std::{fs, path::Path};

/// The purposes of the derived keys. The number changes when their use changes.
const ENCRYPTION: &[u8] = b"face-liveness-facade shared cache 1: sealing";
const NAMING: &[u8] = b"face-liveness-facade shared cache 1: naming";

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// A rotation needs two. Each further key costs one more lookup per miss.
const MAX_KEYS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    Result,
    Images,
    Status,
}

/// Never empty. The last key encrypts, and all keys decrypt.
pub struct Keyring(Vec<Key>);

pub struct Key {
    encryption: RandomizedNonceKey,
    naming: hmac::Key,
}

impl ValueKind {
    /// Returns the end of the Redis key.
    pub const fn name(self) -> &'static str {
        ["result", "images", "state"][self as usize]
    }
}

impl Keyring {
    /// Reads a file with one key per line: 32 bytes in base64. The last key encrypts, and all keys
    /// decrypt.
    ///
    /// # Errors
    /// One sentence for the operator, without any content of the file.
    pub fn read(file: &Path) -> Result<Self, String> {
        let path = file.display();
        let text = fs::read_to_string(file).map_err(|error| format!("{path} cannot be read: {error}"))?;
        let lines: Vec<_> = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect();
        if lines.is_empty() || lines.len() > MAX_KEYS {
            return Err(format!(
                "{path} must hold 1 to {MAX_KEYS} keys, one per line, and holds {}: create one with `openssl rand -base64 32`",
                lines.len()
            ));
        }
        let keys = lines.into_iter().map(|(index, line)| {
            Key::parse(line.trim()).ok_or_else(|| {
                let number = index + 1;
                format!("{path}, line {number}, must be {KEY_BYTES} bytes in base64: create it with `openssl rand -base64 32`")
            })
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// Returns the key that encrypts.
    pub fn newest(&self) -> &Key {
        self.0.last().expect("a keyring is never empty")
    }

    /// Returns all keys, the newest first.
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
            encryption: RandomizedNonceKey::new(&aead::AES_256_GCM, &derive(ENCRYPTION)).expect("a key of 32 bytes"),
            naming: hmac::Key::new(hmac::HMAC_SHA256, &derive(NAMING)),
        })
    }

    /// Returns the name of the session in Redis: 128 bits in hex.
    pub fn name(&self, id: SessionId) -> String {
        let tag = hmac::sign(&self.naming, &id.to_bytes());
        tag.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Encrypts a value. It can be decrypted only with this key, session and kind.
    pub fn encrypt(&self, id: SessionId, kind: ValueKind, mut value: Vec<u8>) -> Vec<u8> {
        let nonce = self.encryption.seal_in_place_append_tag(Aad::from(associated_data(id, kind)), &mut value);
        let nonce = nonce.expect("a value is far shorter than AES-GCM's 64 GiB");
        let mut encrypted = Vec::with_capacity(NONCE_BYTES + value.len());
        encrypted.extend_from_slice(nonce.as_ref());
        encrypted.extend_from_slice(&value);
        encrypted
    }

    /// Returns the decrypted value, or None if it is not an encrypted value of this key, session
    /// and kind.
    pub fn decrypt(&self, id: SessionId, kind: ValueKind, mut encrypted: Vec<u8>) -> Option<Bytes> {
        let (nonce, value) = encrypted.split_first_chunk_mut::<NONCE_BYTES>()?;
        let nonce = Nonce::from(&*nonce);
        let length = self.encryption.open_in_place(nonce, Aad::from(associated_data(id, kind)), value).ok()?.len();
        Some(Bytes::from(encrypted).slice(NONCE_BYTES..NONCE_BYTES + length))
    }
}

/// Returns what a value is bound to.
fn associated_data(id: SessionId, kind: ValueKind) -> [u8; 17] {
    let mut data = [kind as u8; 17];
    data[1..].copy_from_slice(&id.to_bytes());
    data
}

#[cfg(test)]
mod tests;
