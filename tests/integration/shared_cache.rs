//! Replicas that share a store: what one has read, every one can answer.

mod access;
mod faces;
mod gate;
mod keys;
mod load;
mod outage;
mod quota;
mod replicas;
mod secrets;
mod sharing;
mod takeover;
mod told;

pub use replicas::Replicas;
use replicas::{ended, line};
