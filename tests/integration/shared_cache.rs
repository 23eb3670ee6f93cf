//! Replicas that share results, leases and the quota through Redis.

mod access;
mod encryption;
mod images;
mod keys;
mod load;
mod log;
mod outage;
mod proxy;
mod quota;
mod replicas;
mod sharing;
mod takeover;

pub use replicas::Replicas;
use replicas::{key_line, succeeded};
