//! Loads the credentials again after AWS rejected them, and knows whether that helped.
//!
//! The SDK's cache of credentials has no invalidation, so a reload replaces the client. The next
//! read then loads them from the chain; reads at the same time share that load.

use crate::error::{Error, Reason};
use aws_config::identity::IdentityCache;
use aws_sdk_rekognition::{Client, config::Builder};
use std::{
    mem,
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// The least time between two reloads: STS and agents have quotas, too.
const RELOAD_PERIOD: Duration = Duration::from_secs(5);

/// A client whose credentials can be loaded again.
pub struct ReloadingClient {
    config: Builder,
    /// The timeout of a load.
    load_timeout: Duration,
    can_reload: bool,
    current: Mutex<Current>,
    /// Whether reloaded credentials were rejected too, or none could be loaded.
    pub is_rejected: watch::Sender<bool>,
}

struct Current {
    client: Client,
    /// The number of reloads so far.
    generation: u64,
    /// Whether AWS has accepted a read of this generation.
    is_accepted: bool,
    /// No reload before.
    reload_at: Instant,
}

impl ReloadingClient {
    /// `can_reload` is false for fake credentials.
    pub fn new(config: Builder, load_timeout: Duration, can_reload: bool) -> Self {
        let client = client(&config, load_timeout);
        let current = Current { client, generation: 0, is_accepted: false, reload_at: Instant::now() };
        Self { config, load_timeout, can_reload, current: Mutex::new(current), is_rejected: watch::Sender::default() }
    }

    /// Returns the client and its generation.
    pub fn current(&self) -> (Client, u64) {
        let current = self.lock();
        (current.client.clone(), current.generation)
    }

    /// Records how AWS received the credentials of this generation. Returns whether the next read
    /// uses others, after AWS rejected these.
    pub fn record(&self, generation: u64, error: Option<&Error>) -> bool {
        let mut current = self.lock();
        let is_current = current.generation == generation;
        match error.map(|error| error.reason) {
            None | Some(Reason::SessionNotFound | Reason::UpstreamAccessDenied) if is_current => {
                current.is_accepted = true;
                self.set_rejected(false);
                false
            }
            Some(Reason::UpstreamCredentials) if self.can_reload && is_current => {
                // Without a code, the chain has no credentials, and each read tries it again.
                let is_from_aws = error.is_some_and(|error| error.aws_code.is_some());
                self.set_rejected(!is_from_aws || (generation > 0 && !current.is_accepted));
                let reloads = is_from_aws && Instant::now() >= current.reload_at;
                if reloads {
                    let client = client(&self.config, self.load_timeout);
                    let reload_at = Instant::now() + RELOAD_PERIOD;
                    *current = Current { client, generation: generation + 1, is_accepted: false, reload_at };
                }
                reloads
            }
            // Another read has reloaded them.
            Some(Reason::UpstreamCredentials) => !is_current,
            _ => false,
        }
    }

    pub fn set_rejected(&self, is_rejected: bool) {
        self.is_rejected.send_if_modified(|current| mem::replace(current, is_rejected) != is_rejected);
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().expect("no code panics under this lock")
    }
}

/// Returns a client without loaded credentials.
fn client(config: &Builder, load_timeout: Duration) -> Client {
    let identity_cache = IdentityCache::lazy().load_timeout(load_timeout).build();
    Client::from_conf(config.clone().identity_cache(identity_cache).build())
}
