//! Crash at every point: each verb is killed, failed or held at each of its fault points and at sampled system calls,
//! on a host with a witness guest. Afterwards the host is as before or `fief recover` makes it so, the disk holds all
//! that its guest was told is on it, and the same command again succeeds.
//!
//! ```text
//!   points.rs    every name in host/src/fault.rs × kill, fail; a few × hang
//!   calls.rs     the Nth fsync, rename, open or write fails, or is the last thing the process does (strace)
//!   verbs.rs     what each verb needs before, and what it is to come to
//!   plugins.rs   changes of plugins and of policy, killed and failed at each of their points
//!   bench.rs     the host, and what has to be true of it after each case
//! ```
//!
//! `cargo xtask crash` builds fief with its fault points and runs this; `cargo xtask test` leaves it out, for it is slow.
#![allow(clippy::unwrap_used)]

mod bench;
mod calls;
mod plugins;
mod points;
mod verbs;
