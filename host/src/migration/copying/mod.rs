//! What a move copies: disks and saved states, from one host to another over a stream.
//!
//! ```text
//!   source                                                     target
//!   Disk ─▸ send::Sender ══ wire::copy, over a peer stream ══▸ receive::receive ─▸ Disk
//!    │       │ all()      every chunk that holds data; where the target has something: what differs        │
//!    │       │ again(…)   what was written meanwhile (QEMU's dirty bitmaps), as often as it is worth it     │
//!    │       └ each round ends when the target has written, flushed, read back, and both have one digest    │
//!    └ a raw image: its own bytes and holes │ all else: NBD, from whoever serves it (a sandbox, QEMU) ──────┘
//!
//!   state      a file, from where it was cut off, held against its digest
//! ```
//!
//! What reads as zeroes is neither sent nor stored. A copy that was cut leaves at the target what had come; the next one
//! tells the target the digest of each chunk, and only what it has not goes over. Nothing is taken for done that was not read
//! back from the target's storage.
//!
//! Knows nothing of pools, domains and peers: whoever calls it opens the disks and the stream (`domain/volume`).

pub mod blocks;
pub mod chunks;
mod digest;
pub mod disk;
pub mod pace;
pub mod receive;
pub mod send;
pub mod state;
#[cfg(test)]
mod tests;

use std::time::Duration;

use fief_wire::Trouble;
use fief_wire::copy::{self, FromTarget};
use fief_wire::frame::Within;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{Failure, Kind};

pub use disk::Disk;
pub use pace::{Pace, Progress};
pub use receive::{Arrived, receive};
pub use send::Sender;

/// What carries a copy: a peer's stream, or a test's.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// How long a frame may take, and an answer: storage on either side may have to come back first. Where a host is gone, TCP
/// says so long before.
const WITHIN: Within = Within::all(Duration::from_secs(300));
/// How often a target that is at something long says that it is.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Chunks that are read, or written, at a time.
const AT_ONCE: usize = 8;

/// Says to a source now and then that its target is at it; `done` is how far.
async fn long<T>(
    to: &mut (impl AsyncWrite + Unpin),
    done: impl Fn() -> u64,
    work: impl Future<Output = T>,
) -> crate::error::Result<T> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(HEARTBEAT, work.as_mut()).await {
            Ok(over) => return Ok(over),
            Err(_) => {
                let progress = FromTarget::Progress { done: done() };
                copy::send(to, &progress, WITHIN.rest).await.map_err(broken)?;
            }
        }
    }
}

/// A stream that does not go on.
fn broken(trouble: Trouble) -> Failure {
    let kind = match &trouble {
        Trouble::Late => Kind::TimedOut,
        Trouble::Closed | Trouble::Io(_) => Kind::Unreachable,
        Trouble::TooLong { .. } | Trouble::Wrong(_) => Kind::Other,
    };
    Failure::new(kind, "the copy was cut off")
        .because(trouble)
        .hint("what was copied is kept: a next copy goes on from there")
}

/// The other host says what it must not.
fn out_of_step(what: &str) -> Failure {
    Failure::other(format!("the other host does not keep to the protocol of copies: {what}"))
}
