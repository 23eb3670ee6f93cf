//! The settings of the shared cache.

use super::value::{Secret, positive_duration};
use clap::{ArgAction, Args};
use std::{path::PathBuf, time::Duration};

/// The Redis or Valkey that replicas share. There is none without a URL.
#[derive(Args, Clone, Debug, Default)]
pub struct SharedCache {
    /// URL of the Redis or Valkey that all replicas share: redis://HOST:PORT/DATABASE, or rediss://
    /// for TLS [default: none]
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_URL", value_name = "URL", hide_env_values = true)]
    pub shared_cache_url: Option<Secret>,
    /// File with the keys that encrypt all values there: 32 bytes in base64 per line. The last key
    /// encrypts; every key decrypts.
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_KEY_FILE", value_name = "FILE")]
    pub shared_cache_key_file: Option<PathBuf>,
    /// Timeout of one operation. Then the replica continues without the shared cache.
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_TIMEOUT", default_value = "50ms", value_name = "DURATION", value_parser = positive_duration)]
    pub shared_cache_timeout: Duration,
    /// Also share images, encrypted like all other values.
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_IMAGES", default_value_t = false, action = ArgAction::Set, value_name = "BOOL")]
    pub shared_cache_images: bool,
    /// PEM file with the CAs of its certificate [default: the system's CAs]
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_CA", value_name = "FILE")]
    pub shared_cache_ca: Option<PathBuf>,
    /// Username for its ACL [default: from the URL]
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_USERNAME", value_name = "NAME", hide_env_values = true)]
    pub shared_cache_username: Option<Secret>,
    /// File with the username, reloaded when it changes.
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_USERNAME_FILE", value_name = "FILE")]
    pub shared_cache_username_file: Option<PathBuf>,
    /// Password. Prefer the variable or a file: other users can read the command line [default:
    /// from the URL]
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub shared_cache_password: Option<Secret>,
    /// File with the password, reloaded when it changes.
    #[arg(long, env = "FACE_LIVENESS_SHARED_CACHE_PASSWORD_FILE", value_name = "FILE")]
    pub shared_cache_password_file: Option<PathBuf>,
}

impl SharedCache {
    /// Returns each rule as whether it is violated, and a sentence.
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
                 (FACE_LIVENESS_SHARED_CACHE_KEY_FILE): values are always encrypted; create one with `openssl rand -base64 32`",
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

    /// Returns one sentence for each violated rule.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        self.rules().into_iter().filter(|(broken, _)| *broken).map(|(_, sentence)| sentence.to_owned())
    }
}
