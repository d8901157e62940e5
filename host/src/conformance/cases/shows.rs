//! How it is seen that a change was made which a verb told of as made.

use crate::conformance::bench::Bench;
use crate::conformance::expect::{Asked, Result, Stop, fail};
use crate::gate::operation::ImageFormat;
use crate::sandbox::protocol::{AttachAccess, Return, StorageCall};

/// Where the bytes lie by which states of a volume are told apart, and how many.
const AT: u64 = 128 << 10;
const LENGTH: u32 = 8192;

pub(super) enum Shows {
    Nothing,
    /// A volume with that size, at least.
    Volume(String, u64),
    Gone(String),
    Snapshots(Snapshots),
    /// The fence of a volume is held with that generation.
    Held {
        volume: String,
        generation: u64,
    },
    /// Nobody holds it.
    Free(String),
}

/// Of a volume, some of which are there and some of which are not, and what it may hold; nothing where this host has no way to
/// its bytes.
#[derive(Clone)]
pub(super) struct Snapshots {
    pub(super) volume: String,
    pub(super) there: &'static [&'static str],
    pub(super) gone: &'static [&'static str],
    pub(super) bytes: Vec<u8>,
}

impl Shows {
    /// What was told as done is done.
    pub(super) fn is_so(&self, bench: &mut Bench, told: &str) -> Result<()> {
        let shown = match self {
            Shows::Nothing => return Ok(()),
            Shows::Snapshots(snapshots) => return snapshots.are_so(bench, told),
            Shows::Volume(name, _) | Shows::Gone(name) => bench.find(name),
            Shows::Held { volume, .. } | Shows::Free(volume) => {
                bench.ask(StorageCall::FenceShow { volume: volume.clone() })
            }
        };
        if self.is_in(&shown) {
            return Ok(());
        }
        let then = format!("success, and then {}: {}", shown.called, shown.got());
        fail(told, "an error, or that it is done", then)
    }

    fn is_in(&self, shown: &Asked) -> bool {
        match (self, &shown.said) {
            (Shows::Volume(_, size), Ok(Return::Volume(facts))) => facts.size >= *size,
            (Shows::Gone(_), Err(_)) => shown.is("not-found"),
            (Shows::Held { generation, .. }, Ok(Return::Fence(fence))) => {
                fence.holder.as_ref().is_some_and(|holder| holder.generation == *generation)
            }
            (Shows::Free(_), Ok(Return::Fence(fence))) => fence.holder.is_none(),
            (_, Ok(_) | Err(_)) => false,
        }
    }
}

impl Snapshots {
    pub(super) fn are_so(&self, bench: &mut Bench, told: &str) -> Result<()> {
        let listed = bench.ask(StorageCall::Snapshots { volume: self.volume.clone() });
        let right = match &listed.said {
            Ok(Return::Snapshots(all)) => {
                let has = |name: &&str| all.iter().any(|one| one.name == *name);
                self.there.iter().all(&has) && !self.gone.iter().any(has)
            }
            Ok(_) | Err(_) => false,
        };
        if !right {
            let mut expected: Vec<String> = self.there.iter().map(|name| format!("the snapshot {name}")).collect();
            expected.extend(self.gone.iter().map(|name| format!("none of the name {name}")));
            return fail(format!("{}, after: {told}", listed.called), expected.join(", "), listed.got());
        }
        if self.bytes.is_empty() {
            return Ok(());
        }
        let disk = bench.open_for(&self.volume, AttachAccess::ReadOnly)?;
        let read = disk.read(AT, LENGTH)?;
        if !self.bytes.iter().any(|byte| read.iter().all(|one| one == byte)) {
            let called = format!("read {}, after: {told}", self.volume);
            return fail(
                called,
                "what it held before, or what the snapshot has where that was asked for",
                "other bytes",
            );
        }
        disk.close()
    }
}

/// A volume of the bytes `2`, which was snapshotted as `one` with the bytes `1` and as `two` as it is; whether this host reaches
/// its bytes.
///
/// # Errors
/// `Skip` where no volume has snapshots.
pub(super) fn snapshotted(bench: &mut Bench) -> Result<(String, bool)> {
    let name = may_have_snapshots(bench)?;
    let mut reached = true;
    for (byte, snapshot) in [(1, "one"), (2, "two")] {
        reached &= is_filled(bench, &name, byte)?;
        let take = StorageCall::SnapshotCreate { volume: name.clone(), name: snapshot.to_owned() };
        bench.ask(take).where_supported()?.snapshot()?;
    }
    Ok((name, reached))
}

/// A new volume. Most have snapshots in one format alone, if they make it at all.
pub(super) fn may_have_snapshots(bench: &mut Bench) -> Result<String> {
    bench.new_volume_of(ImageFormat::Qcow2).or_else(|_| bench.new_volume()).map(|made| made.name)
}

fn is_filled(bench: &mut Bench, name: &str, byte: u8) -> Result<bool> {
    let written = bench.open(name).and_then(|disk| {
        disk.write(AT, &[byte; LENGTH as usize])?;
        disk.close()
    });
    match written {
        Ok(()) => Ok(true),
        Err(Stop::Broken(failure)) => Err(failure.into()),
        // The cases of attach are for that.
        Err(Stop::Fail(_) | Stop::Skip(_)) => Ok(false),
    }
}
