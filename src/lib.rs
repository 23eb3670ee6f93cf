//! One typed gRPC call for the outcome of an Amazon Rekognition Face Liveness session.
//!
//! A request goes one straight way: [`grpc`] checks it and asks [`results`], which answers from its
//! cache or has
//! [`rekognition`] read AWS, once for all who ask; [`convert`] turns AWS's answer into the contract's message, and nothing behind it
//! knows an AWS type. What goes wrong on the way is an [`error::Error`], a row of one table, and
//! becomes a `Status` at the edge only.
//!
//! Replicas share results, and the account's quota, through a [`store`] when they are given one.
//!
//! [`client`] says who asks and whether it may, [`telemetry`] what is counted, traced and logged. [`config`] holds every setting, [`server`]
//! wires the rooms together, and [`commands`] are what the binary does. The [`simulator`] is a
//! Rekognition for laptops and tests, a package of its own.

pub mod client;
pub mod commands;
pub mod config;
pub mod convert;
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
pub mod telemetry;

#[cfg(feature = "simulator")]
pub use face_liveness_simulator as simulator;
