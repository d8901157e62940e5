//! The system calls that no safe crate wraps. All `unsafe` of fief lives below here, each with its reason.

pub mod guest_code;
pub mod process;
pub mod socket;
pub mod spawn;
