//! The poll of one session: a pure state machine, and the task that does its I/O.
//!
//! The task is detached from callers, so that one that hangs up costs the others nothing. Without
//! subscribers the poll goes on with spare permits until the result is final or AWS has removed it:
//! otherwise the result would be lost for callers that come back.

mod io;
mod publish;
mod state;
mod task;

pub use task::PollTask;
