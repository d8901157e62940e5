//! The system calls that no safe crate wraps. All `unsafe` of fief lives below here, each with its reason.

pub mod component;
pub mod confine;
pub mod landlock;
pub mod message;
pub mod seccomp;
