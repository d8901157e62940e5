//! Volumes that come from elsewhere, and go elsewhere.
//!
//! ```text
//!   import   file ─▸ volume        copy   volume ─▸ volume of any pool
//!   export   volume ─▸ file        move   the same; then definitions change, and the source goes
//!   rename   volume ─▸ the same, by another name; then definitions change
//!   depart   volume ─▸ another host            arrive   another host ─▸ volume, kept: its snapshots before it
//!   leave    the disks of a domain that runs ─▸ another host
//!
//!   fill.rs   intent ─▸ held ─▸ the plugin makes the volume, noted ─▸ copied ═▸ noted ─▸ (move: switched ─▸ source gone)
//!                └────── any failure, ^C, or killed: the volume goes ──────┘  └── killed: the next command goes on ──┘
//! ```
//! While a volume is copied, from or to, no domain that writes to it starts, and no other command changes it: this command
//! has its lease (`lease.rs`), and for other hosts the fence of what it writes to (`hold.rs`).

pub mod arrival;
mod arrive;
pub mod copy;
mod depart;
mod ends;
pub mod export;
pub mod fill;
pub mod import;
mod kept;
pub mod leave;
mod moving;
mod opened;
pub mod rename;
#[cfg(feature = "faults")]
pub mod trial;

pub use arrive::{Coming, Part, arrive};
pub use copy::{Copy, Wanted};
pub use depart::{Departs, depart};
pub use export::Export;
pub use import::Import;
pub use rename::Rename;

use crate::domain::{lease, users_of_volume};
use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::types::{DomainName, VolumeRef};

/// Who holds a volume that is copied to, as other hosts see it.
fn hold_as() -> Result<DomainName> {
    "volume-copy".parse().map_err(|invalid| Failure::other("a copy has no name").because(invalid))
}

/// # Errors
/// `Conflict` where a running domain writes to the volume: a copy would be of no one moment.
fn refuse_written(gate: &Gate, volume: &VolumeRef) -> Result<()> {
    lease::refuse_held(gate.layout(), volume)?;
    match users_of_volume(gate.layout(), volume)?.first() {
        None => Ok(()),
        Some(user) => Err(Failure::conflict(format!(
            "cannot copy volume {volume}: it is a disk of {user}, which runs"
        ))
        .hint(format!(
            "`fief shutdown {user}` first; or `fief volume copy`, which copies it as it runs to another pool"
        ))),
    }
}
