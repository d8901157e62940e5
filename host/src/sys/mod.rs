//! The system calls that no safe crate wraps, and small safe helpers over those that one does. All `unsafe` of fief
//! lives below here, each with its reason.

pub mod allocator;
pub mod apart;
pub mod balk;
pub mod beneath;
pub mod component;
pub mod confine;
pub mod confined;
pub mod deposit;
pub mod durable;
mod file_calls;
pub mod filter_news;
pub mod guest_code;
pub mod interrupt;
pub mod landlock;
pub mod link;
pub mod machine;
pub mod message;
pub mod page_cache;
pub mod process;
pub mod seccomp;
pub mod socket;
pub mod spawn;
pub mod stream;
pub mod tap;

#[cfg(test)]
pub(crate) mod netns;
