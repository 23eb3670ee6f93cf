//! Callers who mean harm, against the program itself: whatever they do, others are answered, and
//! when they are gone nothing of it is left.
//!
//! Linux only: it reads the program's memory in `/proc`.

mod floods;
mod headers;
mod limits;
pub mod memory;
mod messages;
pub mod raw;
mod resets;
mod strangers;
pub mod target;
mod unread;
