//! iSCSI (RFC 7143) without input or output: bytes go in, bytes and events come out, time is the caller's.
//!
//! ```text
//!   login      offer, chap, text             the first PDUs, up to the full feature phase
//!   session    sequence, request, reply      commands in flight
//!   frame      header, digests               bytes ◂▸ PDUs
//! ```
//! Everything that a target sends is checked before it is used: lengths before memory is taken, numbers before they are
//! counted on. Error recovery is that of level 0 (section 7.1.5): whatever is wrong ends the session, and a new one
//! carries out what was not answered.

pub mod chap;
pub mod discovery;
pub mod fault;
pub mod frame;
pub mod header;
pub mod login;
pub mod offer;
pub mod reply;
pub mod request;
pub mod sequence;
pub mod session;
pub mod text;

pub use fault::Fault;
