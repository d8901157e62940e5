//! What hosts say to each other, as bytes and values. No sockets, no keys, no files: all that reads a peer's bytes is here,
//! small enough to read in one sitting, and fuzzed (`tests/fuzz/targets/peer_*`).
//!
//! ```text
//!   TLS record ─▸ frame    a length and that many bytes of JSON, capped, each with a deadline
//!                  ├▸ hello    who is there, which versions it speaks, what the connection is for
//!                  ├▸ message  requests and replies of a control connection
//!                  │   └▸ body     any JSON, less what means two things
//!                  └▸ pairing  the one exchange with a host that is not known yet
//!   copy           disks and saved states: binary, a kind and a length before each
//!   token          what an operator carries from one host to the other
//! ```

pub mod body;
pub mod copy;
pub mod frame;
pub mod hello;
pub mod message;
pub mod pairing;
pub mod text;
pub mod token;

pub use body::Body;
pub use frame::Trouble;
pub use token::Token;
