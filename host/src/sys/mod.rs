//! The system calls that no safe crate wraps, and small safe helpers over those that one does. All `unsafe` of fief
//! lives below here, each with its reason.

pub mod beneath;
pub mod confined;
pub mod durable;
pub mod guest_code;
#[cfg(test)]
pub mod netns;
pub mod process;
pub mod socket;
pub mod spawn;
pub mod tap;
