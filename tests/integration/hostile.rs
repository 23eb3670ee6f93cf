//! Hostile clients against the program: other callers are not affected, and no connection, request
//! or memory is left afterwards.
//!
//! Linux only: it reads the program's memory from `/proc`.

mod admin_port;
mod frame_floods;
mod headers;
mod limits;
pub mod memory;
mod messages;
mod protocol;
mod rapid_resets;
pub mod raw;
pub mod target;
mod unread_responses;
