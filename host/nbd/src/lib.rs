//! An NBD server over any block device: fixed newstyle, structured replies.
//!
//! Knows neither WebAssembly nor what carries its bytes. One task and no threads, so that it runs in a sandbox that may
//! make none; nothing here needs to be `Send`, and a device may be borrowed for as long as it is served.
//!
//! ```text
//!   Server        listens, counts clients, hears what a Handle says
//!   Device        what is served: whoever has bytes implements it
//!   Export        under which name and generation
//! ```
//! The protocol is that of <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>.

mod connection;
mod device;
mod error;
mod export;
mod handle;
mod server;

pub use device::{Device, Extent, Geometry};
pub use error::{Error, Kind};
pub use export::{Export, Limits};
pub use handle::{Handle, Statistics};
pub use server::Server;
