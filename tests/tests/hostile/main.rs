//! Plugins that misbehave, through the real program: each fails in its own call, with the exit code and the words that
//! an operator can act on, in bounded time; nothing of it is left; a healthy pool beside it answers all the while.
//!
//! The plugins are the examples of `tests/hostile`, one for each family of hostile behaviour.
#![allow(clippy::unwrap_used)]

mod calls;
mod component;
mod devices;
mod escapes;
mod faulty;
mod links;
mod neighbour;
mod packages;
mod reach;
mod room;
