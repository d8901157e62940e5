//! A domain on its way to another host: what `migration/handover.rs` decides, carried out.
//!
//! ```text
//!   source: the domain's supervisor                      target: a supervisor of its own (Purpose::Incoming)
//!     sending   a job beside the loop: a strategy          taking    the hypervisor waits, all attached, nothing active
//!       │       asks for steps, memory goes over                       ▴ memory.sock
//!       ▾                                                              │ bytes
//!     ceding    the guest stands still: volumes closed,    fief serve: desk ─ control.sock ─▸ words
//!               ceded, activated, forgotten; or it goes on      ▴
//!       └─ talk ── a Session, requests "moves" ─────────────────┘
//! ```
//! Whoever works on who owns a domain has its [`Owner`], and so its lock: one process at a time. Where none does, the desk
//! answers for it by what is on disk.

pub mod along;
pub mod ask;
pub mod asking;
pub mod channels;
mod desk;
pub mod driver;
mod fences;
pub mod forget;
mod owner;
pub mod pump;
mod streams;
pub mod talk;
pub mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::policy::Policy;
use crate::error::{Failure, Kind, Result};
use crate::migration::plan::Facts;
use crate::types::{Bandwidth, PeerName, PluginId};

pub use desk::{Desk, EXPECTED, MEMORY, STATE, reason};
pub use driver::Machine;
pub use fences::Fences;
pub use owner::Owner;
pub use words::{Expected, Heard, Progress};

/// The service's name at `fief serve`.
pub const SERVICE: &str = "moves";
/// How long either host hears nothing of the other before it gives up what is not ceded.
pub const SILENCE: Duration = Duration::from_secs(30);
/// What was not answered is said again.
pub const TICK: Duration = Duration::from_millis(500);

/// Work that blocks, and may have a runtime of its own, from within an async function: what waits for it waits as long. For a
/// supervisor that has nothing else to do, or a guest that stands still.
pub fn apart<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(Failure::other("a step of a move panicked")))
}

/// A move that an operator wants, and that was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wish {
    pub to: PeerName,
    /// The plugin that says how.
    pub strategy: PluginId,
    /// Of that plugin.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// At most, beside what policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// Volumes that go along have snapshots. Not said where none has: a supervisor that is older than they are on their way, and
    /// would leave them behind, does not know the word and moves nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub snapshots: bool,
    /// What the plan was made from.
    pub facts: Box<Facts>,
}

/// Bytes a second that a move may take, by what an operator and policy say; none where neither does.
pub fn bandwidth(wanted: Option<Bandwidth>, policy: &Policy) -> Option<u64> {
    [wanted, policy.relocation.bandwidth].into_iter().flatten().map(Bandwidth::bytes_per_second).min()
}

/// Of a domain that is ceded.
pub fn unsaid(name: impl std::fmt::Display) -> Failure {
    Failure::new(Kind::NeedsRecover, format!("domain {name} was handed over, and nobody said whether it was taken"))
        .hint(format!("the other host is asked until it answers; `fief recover {name}` asks at once"))
}
