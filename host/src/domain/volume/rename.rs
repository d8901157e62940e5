//! A volume that gets another name in its pool, and the definitions that name it.
//!
//! ```text
//!   noted ─▸ held, fenced ─▸ noted ─▸ the plugin renames ═▸ definitions say the new name ─▸ let go
//!     └── failure, or killed: as it was ──┘  └── killed: the next command looks which name there is, and goes on ──┘
//! ```

use serde::{Deserialize, Serialize};

use super::moving;
use crate::domain::unfinished::{Intent, Unfinished};
use crate::domain::{hold, lease};
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::gate::{Gate, Mode};
use crate::sandbox::protocol::VolumeFacts;
use crate::storage::Pool;
use crate::types::{DomainName, VolumeName, VolumeRef};

/// What is done, in the words of the intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Renaming {
    pub from: VolumeRef,
    pub to: VolumeName,
    /// The plugin is asked, and may have done it.
    pub asked: bool,
}

impl Renaming {
    fn target(&self) -> VolumeRef {
        VolumeRef { pool: self.from.pool.clone(), volume: self.to.clone() }
    }
}

/// A rename that can be done.
#[derive(Debug)]
pub struct Rename {
    work: Renaming,
    /// Domains whose definitions name the volume.
    named: Vec<DomainName>,
    /// This very rename was done before.
    done: bool,
}

/// Who holds a volume that is renamed, as other hosts see it.
fn hold_as() -> Result<DomainName> {
    "volume-rename".parse().map_err(|invalid| Failure::other("a rename has no name").because(invalid))
}

impl Rename {
    /// Looks; changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where a domain that runs has the volume, or another volume has the name; `Usage` where the
    /// pool's volumes keep their names.
    pub fn plan(gate: &Gate, from: &VolumeRef, to: &VolumeName) -> Result<Rename> {
        let layout = gate.layout();
        let work = Renaming { from: from.clone(), to: to.clone(), asked: false };
        let target = work.target();
        if *from == target {
            return Err(Failure::usage(format!("cannot rename volume {from} to itself")).hint("give it another name"));
        }
        let mut pool = Pool::open(gate, &from.pool)?;
        pool.can_rename()?;
        let there = match pool.volume(to) {
            Ok(_) => true,
            Err(failure) if failure.kind == Kind::NotFound => false,
            Err(failure) => return Err(failure),
        };
        match pool.volume(&from.volume) {
            Ok(_) if there => {
                return Err(Failure::conflict(format!(
                    "cannot rename volume {from}: there is a volume {target} already"
                ))
                .hint("choose another name"));
            }
            Ok(_) => {}
            Err(failure) if failure.kind == Kind::NotFound && there => {
                if hold::called_before(layout, &target)?.as_ref() != Some(&from.volume) {
                    return Err(failure);
                }
                return Ok(Rename { work, named: Vec::new(), done: true });
            }
            Err(failure) => return Err(failure),
        }
        lease::refuse_held(layout, from)?;
        lease::refuse_held(layout, &target)?;
        hold::refuse_elsewhere(gate, &mut pool, from, "rename")?;
        let named = moving::named(layout, from, &target, None, "rename")?;
        Ok(Rename { work, named, done: false })
    }

    /// The domains whose definitions say the new name afterwards.
    pub fn named(&self) -> &[DomainName] {
        &self.named
    }

    pub fn target(&self) -> VolumeRef {
        self.work.target()
    }

    /// After an error it has the name that it had, or the next command goes on.
    pub fn perform(&self, gate: &Gate) -> Result<VolumeFacts> {
        let (from, target) = (&self.work.from, self.target());
        let mut pool = Pool::open(gate, &from.pool)?;
        if self.done {
            return pool.volume(&target.volume);
        }
        if gate.mode() == Mode::DryRun {
            return pool.foresee_rename(&from.volume, &target.volume);
        }
        let mut unfinished = Unfinished::begin(gate, Intent::Rename(self.work.clone()))?;
        let facts = match steps(gate, &mut pool, &mut unfinished, &self.work) {
            Ok(facts) => facts,
            Err(failure) => return Err(unfinished.undone(gate, failure)),
        };
        match fault::point("volume-rename.renamed")
            .and_then(|()| rest(gate, &self.work))
            .and_then(|()| unfinished.end())
        {
            Ok(()) => Ok(facts),
            Err(failure) => Err(Failure { kind: Kind::PartlyDone, ..failure }
                .while_doing(format!("volume {from} is called {target} now, and not all that names it says so yet"))
                .hint("put right what is named; the next command finishes it")),
        }
    }
}

fn steps(gate: &Gate, pool: &mut Pool, unfinished: &mut Unfinished, work: &Renaming) -> Result<VolumeFacts> {
    lease::hold(gate.layout(), &work.from)?;
    lease::hold(gate.layout(), &work.target())?;
    // Somebody may have started a domain between the plan and the lease.
    moving::named(gate.layout(), &work.from, &work.target(), None, "rename")?;
    pool.same_storage()?;
    hold::outrank(gate.layout(), &work.from, &work.target())?;
    hold::take(gate, pool, &work.from, &hold_as()?)?;
    fault::point("volume-rename.held")?;
    unfinished.asked(true)?;
    match pool.rename_volume(&work.from.volume, &work.to) {
        Ok(facts) => Ok(facts),
        Err(failure) => {
            match standing(pool, work) {
                // Nobody is to go on with it.
                Standing::AsBefore => unfinished.asked(false)?,
                Standing::Renamed | Standing::Unclear => {}
            }
            Err(failure)
        }
    }
}

/// What became of the names, where the plugin failed. That it says no is not enough: it says so too of what it has done
/// already, and of half of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    AsBefore,
    Renamed,
    /// Both are there, or neither, or the storage does not say.
    Unclear,
}

impl Standing {
    /// Whether each of the two is there; none: nobody knows.
    fn of(from: Option<bool>, to: Option<bool>) -> Standing {
        match (from, to) {
            (Some(true), Some(false)) => Standing::AsBefore,
            (Some(false), Some(true)) => Standing::Renamed,
            (Some(true), Some(true)) | (Some(false), Some(false)) | (None, _) | (_, None) => Standing::Unclear,
        }
    }
}

fn standing(pool: &mut Pool, work: &Renaming) -> Standing {
    let mut is_there = |name: &VolumeName| match pool.volume(name) {
        Ok(_) => Some(true),
        Err(failure) if failure.kind == Kind::NotFound => Some(false),
        Err(_) => None,
    };
    Standing::of(is_there(&work.from.volume), is_there(&work.to))
}

/// What is to be done once the volume has the new name.
fn rest(gate: &Gate, work: &Renaming) -> Result<()> {
    let (layout, target) = (gate.layout(), work.target());
    hold::renamed(layout, &work.from, &target)?;
    moving::repoint_all(gate, &work.from, &target)?;
    fault::point("volume-rename.switched")?;
    let mut pool = Pool::open(gate, &work.from.pool)?;
    hold::release(gate, &mut pool, &target, &hold_as()?)?;
    lease::let_go(layout, &work.from)?;
    lease::let_go(layout, &target)
}

/// One that did not come to its end is finished where the plugin had begun, and taken back where it had not, or says no
/// and has not.
pub(in crate::domain) fn settle(gate: &Gate, work: &Renaming) -> Result<()> {
    let mut pool = Pool::open(gate, &work.from.pool)?;
    if work.asked {
        match pool.rename_volume(&work.from.volume, &work.to) {
            Ok(_) => return rest(gate, work),
            Err(failure) => match standing(&mut pool, work) {
                Standing::AsBefore => {}
                Standing::Renamed => return rest(gate, work),
                Standing::Unclear => return Err(failure),
            },
        }
    }
    hold::release(gate, &mut pool, &work.from, &hold_as()?)?;
    lease::let_go(gate.layout(), &work.from)?;
    lease::let_go(gate.layout(), &work.target())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_is_done_or_not_by_the_names_that_there_are() {
        let (there, not, silent) = (Some(true), Some(false), None);
        for (from, to, standing) in [
            (there, not, Standing::AsBefore),
            (not, there, Standing::Renamed),
            (there, there, Standing::Unclear),
            (not, not, Standing::Unclear),
            (silent, not, Standing::Unclear),
            (there, silent, Standing::Unclear),
            (silent, silent, Standing::Unclear),
        ] {
            assert_eq!(Standing::of(from, to), standing, "{from:?} {to:?}");
        }
    }
}
