//! The system calls that no safe crate wraps. All `unsafe` of fief lives below here, each with its reason.

pub mod process;
pub mod tap;

#[cfg(test)]
pub(crate) mod netns;
