//! A domain's state in a file: what `fief save` writes and `fief restore` takes up.
//!
//! ```text
//!   "fief saved state"  format  length │ header (JSON) │ UEFI variables │ QEMU's stream │ length  SHA-256  "end of the state"
//! ```
//!
//! The header says what the state belongs to and what it needs; the sum at the end covers all that stands before it.
//! A file is whole or it is refused: the end is written last, and the file gets its name after it was synced.

mod fit;
mod format;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::domain::{self, DomainDefinition};
use crate::error::Result;
use crate::hypervisor::{ChosenAccelerator, Places};

pub use fit::{Here, HostCpu, misfits};
pub use format::{Opened, Sum, Writer};

/// What a saved state is of, and what it takes to go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    /// The version of fief that wrote it.
    pub fief: String,
    /// Tells this save from every other.
    pub attempt: Uuid,
    pub saved: Timestamp,
    /// QEMU's version, as `7.2.22`.
    pub hypervisor: String,
    /// The machine type that ran, with its version.
    pub machine: String,
    /// QEMU's name of the processor model.
    pub cpu: String,
    pub accelerator: ChosenAccelerator,
    /// Where the guest sees the host's own processor: what that is.
    pub host_cpu: Option<HostCpu>,
    pub hardware: u32,
    /// Where its devices sit; absent in files of the first layout, where that follows from the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<Places>,
    /// How often the domain had been started; it fits its disks as long as that is so.
    pub runs: u64,
    /// The operator had paused it: restored, it stays so.
    pub paused: bool,
    /// Bytes of UEFI variables that follow the header.
    pub nvram: u64,
    /// What it ran with, as TOML.
    pub definition: String,
}

impl Header {
    /// Where the devices sit for a guest that goes on with `now`, which has other volumes in the same order at most.
    pub fn places(&self, now: &DomainDefinition) -> Result<Places> {
        match &self.places {
            Some(places) => {
                let saved =
                    domain::parse(self.definition.as_bytes(), "the saved definition", &mut domain::RandomIdentity)?;
                Ok(places.renamed(&saved, now))
            }
            None => Ok(Places::first_layout(now)),
        }
    }
}
