//! All flags, environment variables and defaults, parsed into types before anything starts.
//!
//! A flag wins over its variable, and the variable over the default. AWS's own settings stay in
//! AWS's variables. No other module is known here.

mod cli;
mod effective;
mod log;
mod names;
mod read;
mod serve;
mod service;
mod shared_cache;
#[cfg(feature = "simulator")]
mod simulator;
mod value;

pub use cli::{Check, Cli, Command, Health, SessionRef};
pub use log::{Log, LogFormat};
pub use names::Variables;
pub use read::{Parsed, read};
pub use serve::{Access, ClientIdentity, Serve, Server, Tls};
pub use service::{AccessLog, Images, QuotaTps, Service};
pub use shared_cache::SharedCache;
#[cfg(feature = "simulator")]
pub use simulator::{Demo, Simulate};
pub use value::{MIN_CONFIDENCE_RULE, NamePattern, Secret, is_min_confidence};

#[cfg(test)]
mod tests;
