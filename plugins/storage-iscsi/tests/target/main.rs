//! The plugin, run natively, against a real target: tgtd in a network namespace of each test's own.

#![allow(clippy::unwrap_used)]

mod bed;
mod control;
mod failures;
mod fake;
mod fences;
mod hanging;
mod login;
mod recorded;
mod served;
mod taken_away;
mod wire;
