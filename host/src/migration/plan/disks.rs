//! Whether the domain finds its disks, and only its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Facts, Findings};
use crate::gate::operation::ImageFormat;
use crate::types::{ByteSize, PoolName, VolumeRef};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskFacts {
    pub volume: VolumeRef,
    /// A disc in a drive, which is only read.
    pub disc: bool,
    pub size: ByteSize,
    /// What its pool keeps it in.
    pub format: ImageFormat,
    /// That it takes up now.
    pub allocated: ByteSize,
    pub sameness: Sameness,
    /// Whether the target has a pool of that name; what is left in it, where it says so.
    pub pool_there: bool,
    pub room_there: Option<ByteSize>,
    /// Whether the target's pool has a volume of that name.
    pub exists_there: bool,
}

/// What is known of the pool of that name at both hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sameness {
    /// What one host wrote there, the other one read.
    Proven,
    /// It says the same of itself at both, and no proof came about.
    Claimed,
    /// It is not the same.
    Other,
    /// It does not answer at one of the two.
    Unknown,
}

impl DiskFacts {
    /// It is not where the target finds it.
    pub fn goes_along(&self) -> bool {
        match self.sameness {
            Sameness::Proven => false,
            Sameness::Claimed | Sameness::Other | Sameness::Unknown => !self.disc,
        }
    }
}

pub(super) fn check(facts: &Facts, found: &mut Findings) {
    // What the disks before take of the room in each pool.
    let mut taken: BTreeMap<&PoolName, u64> = BTreeMap::new();
    for disk in &facts.domain.disks {
        match (disk.pool_there, disk.disc, facts.manner.ejects) {
            (_, true, true) => {}
            (_, true, false) if disk.sameness != Sameness::Proven => {
                let message = format!("the disc in a drive is on this host, and not on {}", facts.target.name);
                found.blocker("cdrom", &disk.volume, message, "`--eject` takes it out first");
            }
            (false, _, _) => {
                let message = format!("{} has no pool {}", facts.target.name, disk.volume.pool);
                let remedy = format!("`fief pool create {}` on {}", disk.volume.pool, facts.target.name);
                found.blocker("pool-missing", &disk.volume, message, remedy);
            }
            (true, _, _) if facts.manner.copies_volumes => {
                copied(facts, disk, taken.entry(&disk.volume.pool).or_default(), found);
            }
            (true, _, _) => shared(facts, disk, found),
        }
    }
    if facts.domain.disks.iter().any(DiskFacts::goes_along) && facts.manner.copies_volumes {
        for snapshot in &facts.domain.snapshots {
            let message = "snapshots stay with volumes on storage of both hosts, and are not copied".to_owned();
            found.blocker("snapshot", snapshot, message, "`fief snapshot delete` it first");
        }
    }
}

fn copied(facts: &Facts, disk: &DiskFacts, taken: &mut u64, found: &mut Findings) {
    let target = &facts.target.name;
    match disk.sameness {
        // It stays where it is.
        Sameness::Proven => return,
        // It may be there already: to copy it would be to copy it onto itself.
        Sameness::Claimed | Sameness::Unknown => return shared(facts, disk, found),
        Sameness::Other => {}
    }
    if disk.exists_there {
        let message = format!("the pool on {target} has a volume of this name, which is another");
        found.blocker("volume-exists", &disk.volume, message, "rename one of the two");
    }
    *taken = taken.saturating_add(disk.allocated.bytes());
    match disk.room_there {
        Some(room) if room.bytes() >= *taken => {}
        Some(room) => {
            let needed = ByteSize::from_bytes(*taken).human();
            let message =
                format!("what goes to that pool takes up {needed}, and it has {} left on {target}", room.human());
            found.blocker("pool-room", &disk.volume, message, "make room there");
        }
        None => {
            let message = format!("the pool on {target} does not say what room it has left");
            found.warning("pool-room-unknown", &disk.volume, message, "see that there is enough");
        }
    }
}

fn shared(facts: &Facts, disk: &DiskFacts, found: &mut Findings) {
    let target = &facts.target.name;
    match disk.sameness {
        Sameness::Proven => {}
        Sameness::Claimed => {
            let message =
                format!("both say that it is one storage, and {target} did not read there what this host wrote");
            found.blocker(
                "storage-unproven",
                &disk.volume,
                message,
                "see that both reach it and may write to it (`fief pool check`); or that its plugin keeps notes",
            );
        }
        Sameness::Other => {
            let message = format!("the pool of this name is another storage on {target}");
            found.blocker("storage-not-shared", &disk.volume, message, "choose a strategy that copies volumes");
        }
        Sameness::Unknown => {
            let message = format!("the storage does not answer here or on {target}");
            found.blocker("storage-away", &disk.volume, message, "`fief pool check` on both says which");
        }
    }
}
