//! What crosses where a sandbox serves a volume. Unlike in calls, many asks are under way at a time, each with a number.
//!
//! ```text
//!   host                                         sandbox
//!    Load + descriptors + listening socket ────▸
//!                        ◂───────────────────────  Ready
//!    Serve ────────────────────────────────────▸  opens the volume
//!                        ◂───────────────────────  AskAs n      (a stream, a secret)
//!    AnswerTo n + descriptors ─────────────────▸
//!                        ◂───────────────────────  Serving      (clients are let in)
//!                        ◂───────────────────────  Event, Log … (any time)
//!    Tell ─────────────────────────────────────▸
//!                        ◂───────────────────────  Return       (it ended: well, or why not)
//! ```
//! The host may go away meanwhile: the sandbox serves on, and what it would ask is answered `unreachable`.

use serde::{Deserialize, Serialize};

use super::{AttachAccess, Holder, Settings};

/// What to serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Serve {
    pub pool: String,
    pub settings: Settings,
    pub volume: String,
    pub access: AttachAccess,
    /// None where nothing is written.
    pub holder: Option<Holder>,
    /// The name under which clients ask is `VOLUME@GENERATION`.
    pub generation: u64,
}

/// What the host tells a sandbox that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tell {
    /// Clients are dropped, each when what it began is answered: those that connect again see a new size.
    DropClients,
    /// Serve what was begun and nothing more; the socket belongs to another sandbox from now on. Then end.
    HandOver,
    /// Refuse what is new, finish what was begun, let go of the volume. Then end.
    Close,
}

/// storage.wit, `block.geometry`. In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Geometry {
    pub size: u64,
    pub block_size: u32,
    pub preferred_io: u32,
    pub maximum_io: u32,
    pub maximum_requests: u32,
    pub can_discard: bool,
    pub can_write_zeroes: bool,
    pub can_extents: bool,
    pub rotational: bool,
    pub read_only: bool,
}

/// storage.wit, `block.event`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServingEvent {
    Resized(Geometry),
    /// Another host holds the volume: nothing is served any more.
    Fenced(String),
    /// The storage does not answer, and why; requests wait.
    Degraded(String),
    Restored,
}
