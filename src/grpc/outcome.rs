//! How a call of the RPC ended: what its caller received.

use super::{call_count, response::Summary};
use crate::error::Error;

pub enum Outcome<'a> {
    /// The whole response.
    Response(&'a Summary),
    /// An error, after a part of this response if there is one.
    Error(&'a Error, Option<&'a Summary>),
    /// At most a part of this response: the caller cancelled the call, or its connection broke.
    Cancelled(&'a Summary),
}

impl<'a> Outcome<'a> {
    pub const fn response(&self) -> Option<&'a Summary> {
        match self {
            Self::Response(response) | Self::Cancelled(response) => Some(response),
            Self::Error(_, response) => *response,
        }
    }

    pub const fn error(&self) -> Option<&'a Error> {
        match self {
            Self::Error(error, _) => Some(error),
            Self::Response(_) | Self::Cancelled(_) => None,
        }
    }

    /// Returns the name of the gRPC code.
    pub fn code_name(&self) -> &'static str {
        match self {
            Self::Response(_) => "OK",
            Self::Cancelled(_) => "CANCELLED",
            Self::Error(error, _) => error.code_name(),
        }
    }

    /// Returns the number of the gRPC code.
    pub fn code_number(&self) -> i32 {
        match self {
            Self::Response(_) => call_count::OK,
            Self::Cancelled(_) => call_count::CANCELLED,
            Self::Error(error, _) => error.code_number(),
        }
    }
}
