//! NFS version 4.1 (RFC 8881, types in RFC 5662), and of 4.2 (RFC 7862) what a server offers: holes and server-side copies.

pub mod attributes;
pub(crate) mod client;
pub mod compound;
pub(crate) mod establish;
mod opens;
pub mod results;
pub(crate) mod session;
