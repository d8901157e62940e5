//! What has to be there after a call that met trouble, whatever it came to.

use super::fences;
use super::shows::Snapshots;
use crate::conformance::bare::only_looks;
use crate::conformance::bench::{Bench, PREFIX, SIZE};
use crate::conformance::expect::{Asked, Result, Stop, fail};
use crate::conformance::model::{SECTOR, stamped};
use crate::sandbox::protocol::{AttachAccess, Return, StorageCall, VolumeFacts};

/// Of the volume that stands, in sectors.
const SECTORS: usize = 64;

/// Where a call was refused.
pub(super) enum Kept {
    Nothing,
    /// A volume with the size that it had, at least.
    Whole(String),
    /// The same, or it is gone.
    WholeOrGone(String),
    /// One of them, whole, whose fence knows that generation.
    Either {
        name: String,
        to: String,
        generation: u64,
    },
    /// A fence that knows that generation.
    Fence {
        volume: String,
        generation: u64,
    },
    Note(String, u64),
    /// A volume, whole, with snapshots.
    Snapshots(Snapshots),
}

impl Kept {
    pub(super) fn is_there(&self, bench: &mut Bench, after: &str) -> Result<()> {
        let told = |then: &str| format!("{then}, after: {after}");
        match self {
            Kept::Nothing => Ok(()),
            Kept::Whole(name) => is_whole(&bench.find(name), &told(&format!("find {name}"))),
            Kept::WholeOrGone(name) => match bench.find(name) {
                found if found.is("not-found") => Ok(()),
                found => is_whole(&found, &told(&format!("find {name}"))),
            },
            Kept::Either { name, to, generation } => {
                let found = bench.find(name);
                let (volume, found) = if found.is("not-found") { (to, bench.find(to)) } else { (name, found) };
                is_whole(&found, &told(&format!("find {name} or {to}")))?;
                match generation {
                    0 => Ok(()),
                    _ => knows(bench, volume, *generation, told),
                }
            }
            Kept::Snapshots(snapshots) => {
                let name = &snapshots.volume;
                is_whole(&bench.find(name), &told(&format!("find {name}")))?;
                snapshots.are_so(bench, after)
            }
            Kept::Fence { volume, generation } => knows(bench, volume, *generation, told),
            Kept::Note(volume, note) => {
                let read = bench.ask(StorageCall::Notes { volume: volume.clone() });
                match &read.said {
                    Ok(Return::Notes(all)) if all.contains(note) => Ok(()),
                    Ok(_) | Err(_) => {
                        fail(told(&read.called), format!("the note {note:#x}, which was there"), read.got())
                    }
                }
            }
        }
    }
}

fn knows(bench: &mut Bench, volume: &str, generation: u64, told: impl Fn(&str) -> String) -> Result<()> {
    let shown = bench.ask(StorageCall::FenceShow { volume: volume.to_owned() });
    match &shown.said {
        Ok(Return::Fence(fence)) if fence.generation >= generation || fences::forgets(fence) => Ok(()),
        Ok(_) | Err(_) => {
            let expected = format!("the generation {generation} at least, which it had before");
            fail(told(&shown.called), expected, shown.got())
        }
    }
}

/// Has the fence of a volume taken and let go; gives the generation that it knows since.
pub(super) fn fenced(bench: &mut Bench, volume: &str) -> Result<u64> {
    let (volume, holder) = (volume.to_owned(), bench.holder("test", 5));
    bench.ask(StorageCall::FenceTake { volume: volume.clone(), holder: holder.clone(), force: false }).said.ok();
    bench.ask(StorageCall::FenceRelease { volume: volume.clone(), holder }).said.ok();
    let shown = bench.ask(StorageCall::FenceShow { volume });
    shown.fence().map(|fence| fence.generation)
}

fn is_whole(found: &Asked, told: &str) -> Result<()> {
    match &found.said {
        Ok(Return::Volume(facts)) if facts.size >= SIZE => Ok(()),
        Ok(_) | Err(_) => fail(told, format!("a volume of {SIZE} bytes, which was there"), found.got()),
    }
}

/// Whether a call tells of what is there: a way to it, too.
pub(super) const fn looks(call: &StorageCall) -> bool {
    matches!(call, StorageCall::Attach { .. }) || only_looks(call)
}

/// A look that met trouble is refused, or tells what it told without; and nothing that is there is said not to be.
pub(super) fn told_alike(plain: &Asked, asked: &Asked, told: &str) -> Result<()> {
    let Ok(plain_answer) = &plain.said else { return Ok(()) };
    match &asked.said {
        Err(_) if asked.is("not-found") => fail(told, "an error that does not say that nothing is there", asked.got()),
        Err(_) => Ok(()),
        Ok(answer) if alike(plain_answer, answer) => Ok(()),
        Ok(_) => fail(told, format!("an error, or the same as without: {}", plain.got()), asked.got()),
    }
}

fn alike(plain: &Return, answer: &Return) -> bool {
    let volume = |one: &VolumeFacts| (one.name.clone(), one.size, one.format);
    match (plain, answer) {
        (Return::PoolInfo { identity, .. }, Return::PoolInfo { identity: again, .. }) => identity == again,
        (Return::Volume(one), Return::Volume(other)) => volume(one) == volume(other),
        (Return::Volumes(all), Return::Volumes(some)) => {
            let of = |list: &[VolumeFacts], name: &str| list.iter().find(|one| one.name == name).map(volume);
            // What cannot be read is left out, and hides no other. Those of others come and go.
            let ours = |one: &&VolumeFacts| one.name.starts_with(PREFIX);
            let hidden = all.iter().filter(ours).filter(|one| of(some, &one.name).is_none()).count();
            let right = |told: &VolumeFacts| of(all, &told.name).map_or(!ours(&told), |one| one == volume(told));
            hidden <= 1 && some.iter().all(right)
        }
        (one, other) => one == other,
    }
}

/// A volume that is there while a case runs, and whose bytes stay.
pub(super) struct Standing {
    name: String,
    /// None where this host has no way to its bytes.
    bytes: Option<Vec<u8>>,
}

/// None where the storage makes no volumes, and none was given.
pub(super) fn standing(bench: &mut Bench) -> Result<Option<Standing>> {
    let name = match bench.volume() {
        Ok(made) => made.name,
        Err(Stop::Skip(_)) => return Ok(None),
        Err(stop) => return Err(stop),
    };
    // Another, so that a list has more than one.
    if bench.format().is_ok() {
        bench.new_volume()?;
    }
    let bytes = stamped(1, 0, SECTORS);
    let written = bench.open(&name).and_then(|disk| {
        disk.write(0, &bytes)?;
        disk.close()
    });
    match written {
        Ok(()) => Ok(Some(Standing { name, bytes: Some(bytes) })),
        Err(Stop::Broken(failure)) => Err(failure.into()),
        // The cases of attach are for that.
        Err(Stop::Fail(_) | Stop::Skip(_)) => Ok(Some(Standing { name, bytes: None })),
    }
}

impl Standing {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_as_it_was(&self, bench: &mut Bench) -> Result<()> {
        let Some(bytes) = &self.bytes else { return Ok(()) };
        let disk = bench.open_for(&self.name, AttachAccess::ReadOnly)?;
        if disk.read(0, (SECTORS * SECTOR) as u32)? != *bytes {
            return fail(
                format!("read {}, after all that failed", self.name),
                "what was written before",
                "other bytes",
            );
        }
        disk.close()
    }
}
