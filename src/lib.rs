//! One typed gRPC call for the outcome of an Amazon Rekognition Face Liveness session.

pub mod proto;
#[cfg(feature = "simulator")]
pub mod simulator;
