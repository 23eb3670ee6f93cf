//! Replicas that share a store: what one has read, every one can answer.

mod keys;
mod load;
mod outage;
mod replicas;
mod secrets;
mod sharing;
mod told;

use replicas::{Replicas, ended, line};
