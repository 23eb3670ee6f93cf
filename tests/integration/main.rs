//! Integration tests: a tonic client, the server on a port that the system chooses, the AWS SDK,
//! HTTP, and a simulated Rekognition.

mod access;
mod admin;
mod aws_responses;
mod binary;
mod cache;
mod certificates;
mod commands;
mod configuration;
mod connections;
mod deliveries;
mod drain;
mod errors;
mod facade;
mod fairness;
mod faults;
mod first_result;
mod health;
#[cfg(target_os = "linux")]
mod hostile;
mod log;
#[cfg(target_os = "linux")]
mod memory;
mod pass_rates;
mod port;
mod privacy;
mod program;
mod quota;
mod redis;
mod reflection;
mod result_age;
mod results;
mod rotation;
mod shared_cache;
mod sharing;
#[cfg(target_os = "linux")]
mod signals;
mod specification;
mod stalled_log;
mod tls;
mod traces;
mod upstream;
