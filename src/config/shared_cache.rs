//! What replicas share, where it is, and how it is kept from others.

use super::value::positive_duration;
use crate::{
    results::{Keyring, SharedCacheSettings},
    store::{Credentials, Secret, Settings, Sources},
};
use clap::{ArgAction, Args};
use std::{path::PathBuf, time::Duration};

/// The store of results, states and the quota that replicas share. None without a URL.
#[derive(Args, Clone, Debug, Default)]
pub struct SharedCache {
    /// Redis or Valkey that all replicas share: redis://HOST:PORT/DATABASE, or rediss:// for TLS
    /// [default: none]
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_URL", value_name = "URL", hide_env_values = true)]
    pub shared_cache_url: Option<Secret>,
    /// File with the keys that seal what is kept there: 32 bytes in base64 a line; the last line
    /// seals, every line opens.
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_KEY_FILE", value_name = "FILE")]
    pub shared_cache_key_file: Option<PathBuf>,
    /// How long it may take to answer, before the replica goes on without.
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_TIMEOUT", default_value = "50ms", value_name = "DURATION", value_parser = positive_duration)]
    pub shared_cache_timeout: Duration,
    /// Whether images are kept there too, sealed like all the rest.
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_IMAGES", default_value_t = false, action = ArgAction::Set, value_name = "BOOL")]
    pub shared_cache_images: bool,
    /// PEM file of the authorities of its certificate [default: those of the system]
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_CA", value_name = "FILE")]
    pub shared_cache_ca: Option<PathBuf>,
    /// User of an ACL there [default: that of the URL, if any]
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_USERNAME", value_name = "NAME", hide_env_values = true)]
    pub shared_cache_username: Option<Secret>,
    /// File with the user, read again when it changes.
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_USERNAME_FILE", value_name = "FILE")]
    pub shared_cache_username_file: Option<PathBuf>,
    /// Password there; better in the variable or a file than on a command line, which others can
    /// read [default: that of the URL, if any]
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub shared_cache_password: Option<Secret>,
    /// File with the password, read again when it changes.
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_PASSWORD_FILE", value_name = "FILE")]
    pub shared_cache_password_file: Option<PathBuf>,
}

impl SharedCache {
    /// Where the store is and how its values are sealed; nothing when replicas share nothing.
    ///
    /// # Errors
    /// One sentence for an operator.
    pub fn settings(&self) -> Result<Option<(Settings, SharedCacheSettings)>, String> {
        let (Some(url), Some(key_file)) = (&self.shared_cache_url, &self.shared_cache_key_file) else {
            return Ok(None);
        };
        let sources = Sources {
            credentials: Credentials {
                username: self.shared_cache_username.clone(),
                password: self.shared_cache_password.clone(),
            },
            username_file: self.shared_cache_username_file.clone(),
            password_file: self.shared_cache_password_file.clone(),
        };
        let store = Settings::new(url, self.shared_cache_ca.clone(), sources, self.shared_cache_timeout)
            .map_err(|sentence| format!("--shared-cache-url (FACE_LIVENESS_SHARED_CACHE_URL): {sentence}"))?;
        let keyring = Keyring::read(key_file)
            .map_err(|sentence| format!("--shared-cache-key-file (FACE_LIVENESS_SHARED_CACHE_KEY_FILE): {sentence}"))?;
        Ok(Some((store, SharedCacheSettings { keyring, images: self.shared_cache_images })))
    }

    /// What does not go together, and a sentence for each.
    pub(super) fn rules(&self) -> [(bool, &'static str); 4] {
        let has_url = self.shared_cache_url.is_some();
        let rest = self.shared_cache_key_file.is_some()
            || self.shared_cache_ca.is_some()
            || self.shared_cache_username.is_some()
            || self.shared_cache_username_file.is_some()
            || self.shared_cache_password.is_some()
            || self.shared_cache_password_file.is_some()
            || self.shared_cache_images;
        [
            (
                has_url && self.shared_cache_key_file.is_none(),
                "--shared-cache-url (FACE_LIVENESS_SHARED_CACHE_URL) needs --shared-cache-key-file \
                 (FACE_LIVENESS_SHARED_CACHE_KEY_FILE): nothing is kept there unsealed; write one with `openssl rand -base64 32`",
            ),
            (
                !has_url && rest,
                "the other --shared-cache settings need --shared-cache-url (FACE_LIVENESS_SHARED_CACHE_URL)",
            ),
            (
                self.shared_cache_username.is_some() && self.shared_cache_username_file.is_some(),
                "--shared-cache-username and --shared-cache-username-file (FACE_LIVENESS_SHARED_CACHE_USERNAME and _FILE): give one",
            ),
            (
                self.shared_cache_password.is_some() && self.shared_cache_password_file.is_some(),
                "--shared-cache-password and --shared-cache-password-file (FACE_LIVENESS_SHARED_CACHE_PASSWORD and _FILE): give one",
            ),
        ]
    }
}
