//! An NBD server over any block device, and a client: fixed newstyle, structured replies.
//!
//! Knows neither WebAssembly nor what carries its bytes. One task and no threads, so that it runs in a sandbox that may
//! make none; nothing here needs to be `Send`, and a device may be borrowed for as long as it is served.
//!
//! ```text
//!   Server                         listens, counts clients, hears what a Handle says
//!    └▸ connection                 one client: what comes, what is under way, what goes
//!        ├▸ handshake  request     the protocol's words, judged: bytes and values, no waiting
//!        ├▸ perform ▸ Device       a request as calls of the device, in whole blocks
//!        │   └▸ blocks             whose turn it is at a block
//!        └▸ output                 replies on their way
//!
//!   Client                         requests, many at a time, to any server
//! ```
//! The protocol is that of <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>; its parts are quoted by
//! their headings.

mod blocks;
mod client;
mod connection;
mod device;
mod error;
mod export;
mod handle;
mod handshake;
mod output;
mod perform;
mod request;
mod server;
#[cfg(test)]
mod tests;
mod wire;

pub use client::{Client, Stretch};
pub use device::{Device, Extent, Geometry};
pub use error::{Error, Kind};
pub use export::{Export, Limits};
pub use handle::{Handle, Statistics};
pub use server::Server;

/// The tests' disk is compiled into the fuzz targets too, where this crate is another one.
#[cfg(test)]
extern crate self as fief_nbd;
