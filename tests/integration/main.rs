//! The whole way: a real tonic client, a real server on a port of the system's choice, the real AWS
//! SDK, real HTTP, and a simulated Rekognition at its end.

mod access;
mod admin;
mod binary;
mod cache;
mod certificates;
mod commands;
mod configuration;
mod connections;
mod drain;
mod errors;
mod facade;
mod faults;
mod first_result;
mod health;
#[cfg(target_os = "linux")]
mod hostile;
mod log;
#[cfg(target_os = "linux")]
mod memory;
mod port;
mod privacy;
mod program;
mod redis;
mod reflection;
mod results;
mod rotation;
mod shared_cache;
mod sharing;
mod stalled_log;
mod tls;
mod traces;
