//! The system calls that no safe crate wraps. All `unsafe` of fief lives below here, each with its reason.

pub mod beneath;
pub mod confined;
pub mod durable;
