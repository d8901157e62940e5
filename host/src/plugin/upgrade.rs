//! One version of a plugin in the place of another, and back.
//!
//! ```text
//!   Staged::new: stored ▸ compiled ▸ loaded ─▸ (it is tried beside the old one) ─▸ switch: the record, with the old one in it
//!                                                                              └─▸ dropped: nothing changed; tidy sweeps
//! ```

use crate::error::{Failure, Result};
use crate::gate::{Gate, Mode};
use crate::plugin::package::{self, Installed, Record};
use crate::plugin::{loading, pending};
use crate::sys::durable;
use crate::types::PluginId;

/// Plugins that are stored and were seen to load, and run under their ids once they are switched to. Until then, no other
/// change of installed plugins begins.
#[derive(Debug)]
pub struct Staged<'a> {
    gate: &'a Gate,
    /// Each with what was there before.
    all: Vec<(Installed, Option<Record>)>,
    _lock: durable::Lock,
}

impl<'a> Staged<'a> {
    /// Each is what its bytes were found to be.
    ///
    /// # Errors
    /// `PluginFault` where one does not compile or load; the stored bytes are then for [`package::tidy`].
    pub fn new(gate: &'a Gate, all: &[(Installed, &[u8])]) -> Result<Staged<'a>> {
        let layout = gate.layout();
        let _lock = package::lock(layout)?;
        let mut staged = Vec::with_capacity(all.len());
        for (new, bytes) in all {
            let before = package::record(layout, &new.manifest.id).ok();
            let stored = layout.store(new.digest);
            if before.as_ref().is_none_or(|before| before.installed.digest != new.digest) || !stored.exists() {
                pending::folder(&layout.stored())?;
                durable::write(&stored, bytes)?;
            }
            loading::try_load(gate, new)
                .map_err(|failure| failure.while_doing(format!("cannot install the plugin {}", new.manifest.id)))?;
            staged.push((new.clone(), before));
        }
        Ok(Staged { gate, all: staged, _lock })
    }

    /// From now on they are what runs under their ids; what was there before is kept for a rollback. The records come last: an id
    /// names only what was seen to load.
    pub fn switch(self) -> Result<()> {
        for (installed, before) in self.all {
            let previous = match before {
                Some(before) if before.installed == installed => continue,
                // The same bytes, told of otherwise: what was before them stays that.
                Some(before) if before.installed.digest == installed.digest => before.previous,
                Some(before) => Some(before.installed),
                None => None,
            };
            package::write(self.gate.layout(), &Record { installed, previous })?;
        }
        Ok(())
    }
}

/// What a rollback would bring back.
///
/// # Errors
/// `NotFound` where the plugin is not installed, `Conflict` where nothing was before what is installed.
pub fn previous(gate: &Gate, id: &PluginId) -> Result<(Installed, Installed)> {
    let Record { installed, previous } = package::record(gate.layout(), id)?;
    let previous = previous.ok_or_else(|| {
        Failure::conflict(format!("no earlier version of the plugin {id} is kept"))
            .hint("an upgrade keeps the one that it takes the place of; fief plugin upgrade FILE installs another")
    })?;
    Ok((installed, previous))
}

/// Brings back what an upgrade took the place of, which is kept in its turn.
///
/// # Errors
/// As [`previous`]; `Denied` where policy pins other bytes or does not trust who signed it, `PluginFault` where it does not load.
pub fn roll_back(gate: &Gate, id: &PluginId) -> Result<Installed> {
    let _lock = match gate.mode() {
        Mode::Perform => Some(package::lock(gate.layout())?),
        Mode::DryRun => None,
    };
    let (installed, previous) = previous(gate, id)?;
    package::admitted(gate, &previous)?;
    if gate.mode() == Mode::DryRun {
        return Ok(previous);
    }
    loading::try_load(gate, &previous)?;
    package::write(gate.layout(), &Record { installed: previous.clone(), previous: Some(installed) })?;
    Ok(previous)
}
