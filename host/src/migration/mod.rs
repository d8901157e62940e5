//! Moving a domain to another host: who owns it at which moment, what the hosts say to each other about that, and what
//! each of them writes down.
//!
//! ```text
//!   plan       pure: what stands in the way of a move, before anything is touched
//!   handover   pure: what happened in, what to write, send and do out; the one place that decides who may run
//!   journal    the durable form of what a host knows of a domain's owner
//!   message    the words between two hosts, as they travel
//!   copying    disks and saved states on their way
//!   survey     the words between two hosts before a move
//!   steps      what a strategy may ask of its host meanwhile
//!   phases     pure: which of these steps may follow which
//!   limits     pure: what becomes of limits that no host can keep
//!   bounds     pure: how long and how often a strategy may ask
//!   strategy   a strategy that is a plugin, in its sandbox
//!   variables  what UEFI has of a domain, as it travels
//! ```
//!
//! What a domain's guest and volumes go through on the way (memory, copies, networks) is decided elsewhere: to the
//! handover, all of that is one thing that the target has *staged*, or has not.

pub mod bounds;
pub mod copying;
pub mod handover;
pub mod journal;
pub mod limits;
pub mod message;
pub mod phases;
pub mod plan;
pub mod steps;
pub mod strategy;
pub mod survey;
pub mod variables;
