//! Other hosts: who they are, how two of them come to trust each other, and what goes between them.
//!
//! ```text
//!   fief peer add ─▸ pairing ─── TLS, a certificate for a fingerprint ───▸ serve/inviting     once, by a token
//!
//!   Session ─▸ dial ─▸ TLS 1.3, both certificates pinned ─▸ serve ─▸ desk ─▸ Service          requests and replies
//!     │                                                              │
//!     └▸ open_stream ─▸ the same, with a ticket from the desk ───────┴▸ Service               bytes
//! ```
//!
//! Of what a stranger sends, TLS alone reads anything: a connection whose certificate is not pinned ends in the handshake.
//! The one exception is a pairing, a frame each way, and only while an invitation is open (`fief_wire::pairing`). All that
//! reads a peer's bytes is the crate `host/wire`.

mod ask;
mod dial;
pub mod facts;
mod identity;
mod outgoing;
mod pairing;
mod proof;
pub mod seen;
pub mod serve;
mod service;
mod session;
mod stream;
mod tls;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fief_wire::hello::Who;
use fief_wire::{Body, text};

use crate::error::{Failure, Kind, Result};
use crate::gate::host_id;
use crate::layout::Layout;

pub use crate::gate::peers::{Hold, Pinned, all, get, hold, of_host, tidy_holds};
pub use ask::{Reached, reach, reach_all, reach_and, run};
pub use identity::Identity;
pub use pairing::{Invited, invite, join};
pub use service::{Caller, Service, Services, Streaming};
pub use session::{Session, Ticket};
pub use stream::Stream;

/// For a connection that is still being made: looked up, connected, TLS, the first frames.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often whoever connected asks whether the other side is there …
const PING_EVERY: Duration = Duration::from_secs(15);
/// … and after how long without a word either side takes the other for gone.
const SILENCE: Duration = Duration::from_secs(60);
/// For a frame to be written, or to come whole once it has begun.
const FRAME: Duration = Duration::from_secs(30);

/// What this host says of itself.
fn who(layout: &Layout) -> Result<Who> {
    let host = host_id::this(layout)?;
    Ok(Who { host: host.id.to_string(), name: host.name, fief: env!("CARGO_PKG_VERSION").to_owned(), clock: clock() })
}

/// Milliseconds since 1970-01-01T00:00:00Z.
fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn now_seconds() -> u64 {
    clock() / 1000
}

/// A failure as it goes to the other host.
fn told(failure: &Failure) -> Body {
    Body(serde_json::to_value(failure).unwrap_or_default())
}

/// A failure of the other host's, in words that can be shown. A kind that only a newer fief has is `Other`.
fn heard(body: Body) -> Failure {
    let mut value = body.0;
    if serde_json::from_value::<Kind>(value["kind"].clone()).is_err() && value.is_object() {
        value["kind"] = serde_json::json!(Kind::Other);
    }
    match serde_json::from_value::<Failure>(value) {
        Ok(failure) => Failure {
            kind: failure.kind,
            message: text::line(&failure.message),
            causes: failure.causes.iter().take(16).map(|cause| text::line(cause)).collect(),
            hint: failure.hint.map(|hint| text::line(&hint)),
        },
        Err(_) => Failure::other("the other host gives no reason that this one can read"),
    }
}

#[cfg(test)]
mod tests;
