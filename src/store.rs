//! The client of the Redis or Valkey that all replicas share. Every operation is bounded by a
//! timeout, and none fails a request: it returns the response or nothing.
//!
//! [`Store::run`] owns the connection. After a failure or several timeouts the circuit breaker
//! opens: commands are skipped until `run` has connected again, so that an unavailable server costs
//! no time. A server that rejects writes is still read. The log has one line per change of the
//! breaker, and none per request.
//!
//! redis-rs's `ConnectionManager` does not replace this. It makes commands wait while it
//! reconnects, keeps a connection that times out or turns read-only, and never reloads the CA file.
//! Its credentials provider gives up after the first rejected password, which is normal during a
//! rotation: the files of the username and the password do not change at the same instant.

mod breaker;
mod credentials;
mod error;
mod metrics;
mod settings;

pub use credentials::{CredentialSources, Credentials};
pub use metrics::StoreMetrics;
pub use settings::StoreSettings;

use breaker::Breaker;
use error::StoreError;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, aio::MultiplexedConnection};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;

/// The beginning of every key, for ACLs and for servers with other keys. The number changes when
/// old values can no longer be read.
pub const PREFIX: &str = "face-liveness:1:";

/// How often the connection is probed, so that a failure is found before a request meets it.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Attempts of an operation whose failure costs a read of AWS.
const ATTEMPTS: u32 = 3;

const MIN_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(2);

/// For DNS, TCP, TLS, authentication and the probe. A slower server cannot respond within
/// milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

const PROBE: &str = include_str!("store/probe.lua");

/// The purpose of a command, as the label `operation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Gets a result or its images.
    Lookup,
    /// Saves a result or its images.
    Save,
    /// Claims, renews or releases the right to read a session, with its status.
    Lease,
    /// Reserves a read of the shared quota.
    Quota,
    /// Checks the connection.
    Probe,
}

impl Operation {
    const fn name(self) -> &'static str {
        metrics::OPERATIONS[self as usize]
    }
}

/// A handle of the store. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    settings: StoreSettings,
    metrics: StoreMetrics,
    breaker: Breaker,
}

impl Store {
    /// Creates a store that [`Self::run`] will connect.
    pub fn new(settings: StoreSettings, metrics: StoreMetrics) -> Self {
        let breaker = Breaker::new(settings.address(), metrics.up.clone());
        Self(Arc::new(Inner { settings, metrics, breaker }))
    }

    /// Returns the response to a command, or nothing if it fails, times out or is skipped.
    pub async fn query<T: FromRedisValue>(&self, operation: Operation, command: &Cmd) -> Option<T> {
        let Inner { metrics, breaker, .. } = &*self.0;
        let count = |outcome| metrics.operations.with_label_values(&[operation.name(), outcome]).inc();
        let Some((epoch, mut connection)) = breaker.connection(operation != Operation::Lookup) else {
            count("skipped");
            return None;
        };
        let started = Instant::now();
        let response = command.query_async(&mut connection).await.map_err(StoreError::from);
        metrics.seconds.observe(started.elapsed().as_secs_f64());
        match response {
            Ok(response) => {
                count("ok");
                breaker.succeeded(epoch);
                Some(response)
            }
            Err(error) => {
                count(error.label());
                breaker.failed(epoch, error);
                None
            }
        }
    }

    /// Like [`Self::query`], but retries while the store is up: one timeout can be a pause of this
    /// process.
    pub async fn query_with_retries<T: FromRedisValue>(&self, operation: Operation, command: &Cmd) -> Option<T> {
        for _ in 1..ATTEMPTS {
            match self.query(operation, command).await {
                None if self.0.breaker.is_up() => {}
                response => return response,
            }
        }
        self.query(operation, command).await
    }

    /// Connects, and reconnects when the connection fails or the credentials change. Never
    /// completes.
    pub async fn run(&self) {
        let breaker = &self.0.breaker;
        let (mut delay, mut used_credentials, mut is_logged) = (MIN_RETRY_DELAY, None, false);
        loop {
            let attempt = tokio::time::timeout(CONNECT_TIMEOUT, connect(&self.0.settings)).await;
            match attempt.unwrap_or(Err(StoreError::TimedOut)) {
                // During a rotation, the username file can change before the password file or the
                // server's users.
                Err(error) if breaker.is_up() => {
                    if !std::mem::replace(&mut is_logged, true) {
                        tracing::warn!(%error, "the shared cache rejects the changed credentials; the old connection stays in use");
                    }
                }
                Err(error) => breaker.connected(Err(error)),
                Ok((credentials, connection, error)) => {
                    (used_credentials, is_logged) = (Some(credentials), false);
                    breaker.connected(Ok((connection, error)));
                }
            }
            let connected_at = Instant::now();
            if breaker.is_up() {
                self.watch(used_credentials.as_ref()).await;
            }
            // A connection that fails at once does not reset the backoff.
            let was_stable = connected_at.elapsed() > HEARTBEAT * 3;
            delay = if was_stable { MIN_RETRY_DELAY } else { (delay * 2).min(MAX_RETRY_DELAY) };
            tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }

    /// Completes after the first attempt to connect.
    pub async fn tried(&self) {
        self.0.breaker.tried().await;
    }

    /// Probes the connection until it has failed or the credentials have changed.
    async fn watch(&self, used_credentials: Option<&Credentials>) {
        let Inner { settings, breaker, .. } = &*self.0;
        while tokio::time::timeout(HEARTBEAT, breaker.tripped()).await.is_err() {
            self.query::<()>(Operation::Probe, &redis::cmd("PING")).await;
            let sources = settings.credentials.clone();
            let current = spawn_blocking(move || sources.read()).await.expect("reading files does not panic");
            if current.is_ok_and(|current| Some(&current) != used_credentials) {
                return;
            }
        }
    }
}

/// Connects once, and probes that the server accepts reads and writes.
///
/// # Errors
/// One sentence for an operator.
pub async fn check(settings: &StoreSettings) -> Result<(), String> {
    match tokio::time::timeout(CONNECT_TIMEOUT, connect(settings)).await {
        Ok(Ok((_, _, None))) => Ok(()),
        Ok(Ok((_, _, Some(error))) | Err(error)) => Err(error.to_string()),
        Err(_) => Err(StoreError::TimedOut.to_string()),
    }
}

/// Returns the credentials, a connection that was probed, and the reason if it is read-only.
async fn connect(
    settings: &StoreSettings,
) -> Result<(Credentials, MultiplexedConnection, Option<StoreError>), StoreError> {
    let settings = settings.clone();
    let timeout = settings.timeout;
    let read_files = move || {
        let credentials = settings.credentials.read()?;
        Ok((settings.client(&credentials)?, credentials))
    };
    let files = spawn_blocking(read_files).await.expect("reading files does not panic");
    let (client, credentials) = files.map_err(StoreError::Rejected)?;
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(Some(timeout));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut probe = redis::cmd("EVAL");
    probe.arg(PROBE).arg(1).arg(format!("{PREFIX}probe"));
    match probe.query_async(&mut connection).await.map_err(StoreError::from) {
        Ok(()) => Ok((credentials, connection, None)),
        Err(error @ StoreError::ReadOnly(_)) => Ok((credentials, connection, Some(error))),
        Err(error) => Err(error),
    }
}
