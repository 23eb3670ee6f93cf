//! Replicas that share a store: what one has read, every one can answer.

mod replicas;
mod sharing;

use replicas::{Replicas, ended};
