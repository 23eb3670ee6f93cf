//! One typed gRPC call for the result of an Amazon Rekognition Face Liveness session.
//!
//! A request takes one path. The RPC in [`grpc`] validates it and reads from [`results`]. This
//! returns a cached result, or lets [`rekognition`] read AWS, once for all concurrent callers. Only
//! [`rekognition`] knows AWS types: it converts AWS's output to the contract's message, and AWS's
//! errors to an [`error::Error`]. One table in [`error`] maps each error to a `Status`.
//!
//! Replicas share results and the account's quota through a [`store`], if they have one.
//!
//! The other modules: [`client`] identifies and authorizes callers, [`telemetry`] exports logs,
//! traces and metrics, [`config`] parses all settings, [`server`] accepts connections, [`app`]
//! wires the modules together, and [`commands`] has one file for each command. The [`simulator`] is
//! a package of its own: a Rekognition for laptops and tests.

pub mod app;
pub mod client;
pub mod commands;
pub mod config;
pub mod error;
#[cfg(all(any(test, fuzzing), feature = "simulator"))]
pub mod fuzzing;
pub mod grpc;
mod process;
pub mod proto;
pub mod rekognition;
pub mod results;
pub mod server;
pub mod session;
pub mod store;
mod tasks;
pub mod telemetry;

#[cfg(feature = "simulator")]
pub use face_liveness_simulator as simulator;
