//! Domains that move between two hosts, in all ways, in peace and in every kind of trouble. `cargo xtask moving` runs this;
//! `cargo xtask test` leaves it out, for it is slow.
//!
//! ```text
//!   matrix.rs    each strategy × each kind of storage, idle and busy, to and fro
//!   points.rs    at each fault point of a move, on either side, each process is killed, stopped, cut off
//!   wires.rs     slow wires, wires that are cut or half open, bytes that come late, twice or not at all
//!   rivals.rs    two operators at once, two domains that pass each other, what is refused, cancelled
//!   hostile.rs   strategies that misbehave
//!   claims.rs    a host that is off for good, and secrets that are nowhere
//!   fetches.rs   guests that go on before their memory is there
//!   channels.rs  memory that goes over by several connections
//!   debian.rs    a Debian whose TCP connection to a third machine goes on
//!   bench.rs     the two hosts, and what has to be true of them after each case
//! ```
#![allow(clippy::unwrap_used)]

mod bench;
mod channels;
mod claims;
mod debian;
mod fetches;
mod hostile;
mod matrix;
mod points;
mod rivals;
mod wires;
