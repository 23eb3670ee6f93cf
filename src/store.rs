//! The store that all replicas share, Redis or Valkey: asked within a bound, and never a reason to
//! fail.
//!
//! Who asks it has an answer or nothing, after the timeout at the latest. A store that does not
//! answer is asked no more (a circuit breaker) until
//! [`Store::run`] finds it well again, so that a dead one costs nothing; one that takes no writes, because it is full or a replica
//! itself, is still read. The log has a line for each change, never one for each request.

mod breaker;
mod credentials;
mod metrics;
mod settings;
mod trouble;

pub use credentials::{Credentials, Sources};
pub use metrics::StoreMetrics;
pub use settings::Settings;
pub use trouble::Trouble;

use breaker::{Breaker, State};
use redis::{Cmd, FromRedisValue, RedisResult, aio::MultiplexedConnection};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// All keys begin so, for an ACL, and for a store that has others. The number changes when old
/// values can be read no more.
pub const PREFIX: &str = "face-liveness:1:";

/// How often a store that is well is asked whether it is, so that no request is the first to find
/// out.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// So often is a store asked for one thing that matters, while it is in use.
const ATTEMPTS: u32 = 3;

/// The pause before a store that is not well is tried again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Name, connection, handshake, password: a store that takes longer is not one for answers within
/// milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Does once what this service does with a store, with every command that it has to be allowed.
const PROBE: &str = "
local key = KEYS[1]
redis.call('SET', key, '1', 'PX', 1000)
redis.call('PING')
redis.call('PTTL', key)
redis.call('TIME')
redis.call('DEL', key)
redis.call('HSET', key, 'field', '1')
redis.call('HMGET', key, 'field')
redis.call('PEXPIRE', key, 1000)
redis.call('DEL', key)
return redis.call('GET', key)
";

/// What the store is asked for, as the label `operation` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A result or its images.
    Lookup,
    /// To keep a result, its images, or a state.
    Save,
    /// For the right to read a session, and what others have read of it.
    Lease,
    /// For a slot of the account's quota.
    Quota,
    /// Whether it is there.
    Probe,
}

impl Operation {
    const fn name(self) -> &'static str {
        metrics::OPERATIONS[self as usize]
    }

    /// Whether a store that takes no writes need not be asked.
    const fn writes(self) -> bool {
        !matches!(self, Self::Lookup)
    }
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    settings: Settings,
    metrics: StoreMetrics,
    breaker: Breaker,
}

impl Store {
    /// A store that [`Self::run`] will connect to.
    pub fn new(settings: Settings, metrics: StoreMetrics) -> Self {
        let breaker = Breaker::new(settings.place());
        Self(Arc::new(Inner { settings, metrics, breaker }))
    }

    /// What the store answers to one command; nothing when it does not in time, or is known not to
    /// be well.
    pub async fn ask<T: FromRedisValue>(&self, operation: Operation, command: &Cmd) -> Option<T> {
        let Inner { settings, metrics, breaker } = &*self.0;
        let count = |outcome| metrics.operations.with_label_values(&[operation.name(), outcome]).inc();
        let Some((epoch, mut connection)) = breaker.connection(operation.writes()) else {
            count("skipped");
            return None;
        };
        let started = Instant::now();
        let answer = ask(&mut connection, command, settings.timeout).await;
        metrics.seconds.observe(started.elapsed().as_secs_f64());
        match answer {
            Ok(answer) => {
                count("ok");
                breaker.well(epoch);
                Some(answer)
            }
            Err(trouble) => {
                count(trouble.label());
                breaker.failed(epoch, trouble);
                None
            }
        }
    }

    /// The same a few times, where to go on without an answer costs a read of AWS: one late answer
    /// may be this process's own pause.
    pub async fn insist<T: FromRedisValue>(&self, operation: Operation, command: &Cmd) -> Option<T> {
        for _ in 1..ATTEMPTS {
            match self.ask(operation, command).await {
                None if self.0.breaker.is_up() => {}
                answer => return answer,
            }
        }
        self.ask(operation, command).await
    }

    /// Connects, and connects again whenever that is needed, for as long as it is polled.
    pub async fn run(&self) {
        let Inner { settings, metrics, breaker } = &*self.0;
        let (mut pause, mut in_use, mut told) = (FIRST_PAUSE, None, false);
        loop {
            let credentials = settings.credentials.read();
            let made = tokio::time::timeout(CONNECT_TIMEOUT, self.connect(&credentials)).await;
            let state = match made.unwrap_or(Err(Trouble::TimedOut)) {
                Ok((connection, trouble)) => {
                    (in_use, told) = (credentials.ok(), false);
                    breaker.connected(connection, trouble)
                }
                // The user's file may have changed a moment before the password's, or the store's
                // users not yet.
                Err(trouble) if breaker.is_up() => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%trouble, "the shared cache does not take its changed user or password; the old connection goes on");
                    }
                    State::Up
                }
                Err(trouble) => breaker.not_connected(trouble),
            };
            metrics.up.set((state == State::Up).into());
            let since = Instant::now();
            if state == State::Up {
                self.watch(in_use.as_ref()).await;
                metrics.up.set(breaker.is_up().into());
            }
            // One that has been well for a while is tried again at once, and one that only seems so
            // is not.
            pause = if since.elapsed() > HEARTBEAT * 3 { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }

    /// Completes when the first attempt to connect has ended, however it did.
    pub async fn tried(&self) {
        self.0.breaker.tried().await;
    }

    /// Completes when the connection has to be made anew: it is not well, or its user or password
    /// is not the file's any more.
    async fn watch(&self, in_use: Option<&Credentials>) {
        let Inner { settings, breaker, .. } = &*self.0;
        loop {
            tokio::select! {
                () = breaker.tripped() => {}
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
            if !breaker.is_up() {
                return;
            }
            self.ask::<()>(Operation::Probe, &redis::cmd("PING")).await;
            if settings.credentials.read().is_ok_and(|now| Some(&now) != in_use) {
                return;
            }
        }
    }

    /// A connection that answers, and what keeps it from taking writes.
    async fn connect(
        &self,
        credentials: &Result<Credentials, String>,
    ) -> Result<(MultiplexedConnection, Option<Trouble>), Trouble> {
        let settings = &self.0.settings;
        let credentials = credentials.as_ref().map_err(|sentence| Trouble::Settings(sentence.clone()))?;
        let client = settings.client(credentials).map_err(Trouble::Settings)?;
        let mut connection = client.get_multiplexed_async_connection().await.map_err(|error| Trouble::of(&error))?;
        let mut probe = redis::cmd("EVAL");
        probe.arg(PROBE).arg(1).arg(format!("{PREFIX}probe"));
        match ask::<()>(&mut connection, &probe, settings.timeout).await {
            Ok(()) => Ok((connection, None)),
            Err(trouble @ Trouble::ReadOnly(_)) => Ok((connection, Some(trouble))),
            Err(trouble) => Err(trouble),
        }
    }
}

async fn ask<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
    timeout: Duration,
) -> Result<T, Trouble> {
    let answer: Result<RedisResult<T>, _> = tokio::time::timeout(timeout, command.query_async(connection)).await;
    match answer {
        Ok(answer) => answer.map_err(|error| Trouble::of(&error)),
        Err(_) => Err(Trouble::TimedOut),
    }
}
