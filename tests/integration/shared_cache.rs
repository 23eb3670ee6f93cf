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

use replicas::{Replicas, ended, line};
