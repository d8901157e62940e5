//! HTTP/1.1 (RFC 9112) over the connections that fief gives to plugins. No TLS: what is between host and server has to be
//! trusted, or the server be reached through a proxy on this host that speaks it.
//!
//! ```text
//!   Request ─▸ [`Once`]    control calls: one request, its answer; every wait is the whole instance's
//!           ─▸ [`Client`]  a served volume: many requests at a time, each on a stream of its own; waits for a server that is away
//!                 └─▸ exchange: bytes out, an answer in, each part of it bounded
//! ```
//! A server is not trusted with more than the bytes of its answers: heads, bodies and counts of fields have limits, and
//! whatever is no HTTP ends the stream that it came over.

mod answer;
mod client;
mod exchange;
mod request;

pub use answer::Answer;
pub use client::{ANSWERS, Client};
pub use exchange::{Ask, Once, now};
pub use request::{Request, host};

/// An error that another try over another stream may cure.
pub fn is_away(error: &fief_sdk::Error) -> bool {
    matches!(error.code, fief_sdk::ErrorCode::Unreachable | fief_sdk::ErrorCode::Timeout)
}
