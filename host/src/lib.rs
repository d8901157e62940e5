//! fief: a virtual machine host that anyone can extend with sandboxed WebAssembly plugins.
//!
//! Read from the top; what stands above may use what stands below, never the other way round
//! (`cargo xtask check` holds the tree to this):
//!
//! ```text
//!   cli                                       words in, tables and exit codes out
//!    ├▸ conformance                           whether a plugin does what its interface says
//!    └▸ domain                                the life of a domain, its supervisor
//!        ├▸ peer                              other hosts: trust, and what goes between them
//!        └▸ plugin hypervisor network storage what a domain is made of
//!           migration                         who owns a domain that moves
//!            └▸ gate                          policy ▸ ledger ▸ act ▸ audit
//!                └▸ sys                       the system calls; the only `unsafe`
//!
//!   sandbox                                   the other room: another process, no privilege
//!   import                                    guests of other hosts: read, and put in fief's words
//!   config  types  error  layout  fault       words that every floor shares
//! ```

pub mod cli;
pub mod conformance;
pub mod domain;

pub mod hypervisor;
pub mod migration;
pub mod network;
pub mod peer;
pub mod plugin;
pub mod storage;

pub mod gate;

pub mod sandbox;

pub mod import;

pub mod sys;

pub mod config;
pub mod error;
pub mod fault;
pub mod layout;
pub mod types;
