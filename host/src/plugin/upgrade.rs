//! One version of a plugin in the place of another, and back.
//!
//! ```text
//!   Staged::new: stored ▸ compiled ▸ loaded ─▸ (it is tried beside the old one) ─▸ switch: the record, with the old one in it
//!                                                                              └─▸ dropped: nothing changed; tidy sweeps
//!   with changes of policy:  the record says what comes ▸ policy ▸ the record      cut off: settle, forth where policy says so, else back
//! ```

use std::time::Duration;

use crate::config::policy::edit::Edit;
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::gate::{Gate, Mode, policy};
use crate::layout::Layout;
use crate::plugin::package::{self, Installed, Next, Record};
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
            fault::point("plugin.stored")?;
            loading::try_load(gate, new)
                .map_err(|failure| failure.while_doing(format!("cannot install the plugin {}", new.manifest.id)))?;
            fault::point("plugin.loaded")?;
            staged.push((new.clone(), before));
        }
        Ok(Staged { gate, all: staged, _lock })
    }

    /// The same for one, with changes of policy that `agree` makes: both, or none, whatever happens in between.
    ///
    /// # Errors
    /// That of `agree`.
    pub fn switch_with(self, edits: &[Edit], agree: impl FnOnce() -> Result<()>) -> Result<()> {
        if edits.is_empty() {
            return self.switch();
        }
        let layout = self.gate.layout();
        let Some((new, Some(before))) = self.all.first() else {
            return Err(Failure::other("what is not installed has no other version"));
        };
        changed(layout, before.clone(), new.clone(), edits, agree)
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
            package::write(self.gate.layout(), &Record { installed, previous, next: None })?;
            fault::point("plugin.switched")?;
        }
        Ok(())
    }
}

/// Another version, with changes of policy. Where it is cut off, [`settle`] finds out how far it came.
fn changed(
    layout: &Layout,
    before: Record,
    installed: Installed,
    edits: &[Edit],
    agree: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let next = Some(Next { installed, edits: edits.to_vec() });
    package::write(layout, &Record { next, ..before.clone() })?;
    let agreed = fault::point("plugin.announced").and_then(|()| agree()).and_then(|()| fault::point("plugin.agreed"));
    match agreed {
        Ok(()) => settled(layout, &before.installed.manifest.id).and_then(|()| fault::point("plugin.switched")),
        // A file that was written may be there although that failed.
        Err(failure) => settled(layout, &before.installed.manifest.id).and(Err(failure)),
    }
}

/// Finishes what was begun, where policy says so by now, or takes it back.
fn settled(layout: &Layout, id: &PluginId) -> Result<()> {
    let Record { installed, previous, next } = package::record(layout, id)?;
    let Some(next) = next else { return Ok(()) };
    let record = match policy::preview(layout, id, &next.edits)?.is_empty() {
        true => Record { installed: next.installed, previous: Some(installed), next: None },
        false => Record { installed, previous, next: None },
    };
    package::write(layout, &record)
}

/// Finishes, or takes back, changes of versions that were cut off. What another command is at is left to it.
pub fn settle(layout: &Layout) -> Vec<Failure> {
    let Ok(ids) = package::names(layout) else { return Vec::new() };
    let begun = |id: &PluginId| package::record(layout, id).is_ok_and(|record| record.next.is_some());
    let begun: Vec<PluginId> = ids.into_iter().filter(begun).collect();
    if begun.is_empty() {
        return Vec::new();
    }
    let _lock = match package::lock_within(layout, Duration::ZERO) {
        Ok(lock) => lock,
        Err(failure) if failure.kind == Kind::Conflict => return Vec::new(),
        Err(failure) => return vec![failure],
    };
    let saying = |id: &PluginId| format!("another version of the plugin {id} was begun, and is not finished");
    begun.iter().filter_map(|id| settled(layout, id).err().map(|failure| failure.while_doing(saying(id)))).collect()
}

/// What a rollback would bring back.
///
/// # Errors
/// `NotFound` where the plugin is not installed, `Conflict` where nothing was before what is installed.
pub fn previous(gate: &Gate, id: &PluginId) -> Result<(Installed, Installed)> {
    let Record { installed, previous, next: _ } = package::record(gate.layout(), id)?;
    let previous = previous.ok_or_else(|| {
        Failure::conflict(format!("no earlier version of the plugin {id} is kept"))
            .hint("an upgrade keeps the one that it takes the place of; fief plugin upgrade FILE installs another")
    })?;
    Ok((installed, previous))
}

/// Brings back what an upgrade took the place of, which is kept in its turn, with changes of policy that `agree` makes.
///
/// # Errors
/// As [`previous`]; `Denied` where policy pins other bytes or does not trust who signed it, `PluginFault` where it does not load.
pub fn roll_back(gate: &Gate, id: &PluginId, edits: &[Edit], agree: impl FnOnce() -> Result<()>) -> Result<Installed> {
    let _lock = match gate.mode() {
        Mode::Perform => Some(package::lock(gate.layout())?),
        Mode::DryRun => None,
    };
    let (installed, previous) = previous(gate, id)?;
    package::admitted(gate, &previous)?;
    if gate.mode() == Mode::DryRun {
        agree()?;
        return Ok(previous);
    }
    loading::try_load(gate, &previous)?;
    fault::point("plugin.loaded")?;
    let before = Record { installed, previous: Some(previous.clone()), next: None };
    changed(gate.layout(), before, previous.clone(), edits, agree)?;
    Ok(previous)
}
