//! Whether the domain finds its disks, and only its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Facts, Findings};
use crate::gate::operation::{ImageFormat, ImageSnapshot};
use crate::migration::message::SNAPSHOTS_MAX;
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
    /// In the order of its storage.
    pub snapshots: Vec<DiskSnapshot>,
    /// Whether a volume that comes to the target's pool can have snapshots there.
    pub snapshots_there: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskSnapshot {
    pub name: String,
    /// As it is inside of the image that the volume is; none where it is kept elsewhere.
    pub inside: Option<ImageSnapshot>,
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

    /// Its snapshots as they come to the target: a volume only grows there, and of one size the oldest is first.
    pub fn inside(&self) -> Vec<ImageSnapshot> {
        let mut all: Vec<ImageSnapshot> = self.snapshots.iter().filter_map(|one| one.inside.clone()).collect();
        all.sort_by_key(|one| (one.size, one.created, one.nanos));
        all
    }

    /// Which of its snapshots cannot go along with it, and why; with it none goes.
    pub fn snapshots_stay(&self, facts: &Facts) -> Option<(&str, String, &'static str)> {
        const DELETE: &str = "`fief snapshot delete` it first; or `--leave-snapshots`: then it is lost";
        let target = &facts.target.name;
        let first = self.snapshots.first()?;
        if self.snapshots.len() > SNAPSHOTS_MAX {
            let message = format!("{} has more than {SNAPSHOTS_MAX} snapshots, which do not go along", self.volume);
            return Some((
                &first.name,
                message,
                "`fief snapshot delete` some first; or `--leave-snapshots`: then they are lost",
            ));
        }
        if !self.snapshots_there {
            let message = format!("the pool {} on {target} keeps no snapshots in volumes that come", self.volume.pool);
            return Some((&first.name, message, DELETE));
        }
        let stays = |one: &DiskSnapshot| match &one.inside {
            None => Some(format!("its storage keeps it elsewhere than in {}, and it is not copied", self.volume)),
            Some(inside) if inside.size > self.size => {
                Some(format!("{} was larger than it is now, and it is not copied", self.volume))
            }
            Some(_) => None,
        };
        self.snapshots.iter().find_map(|one| Some((one.name.as_str(), stays(one)?, DELETE)))
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
}

/// Snapshots go along with their volume, all or none.
fn snapshots(facts: &Facts, disk: &DiskFacts, found: &mut Findings) {
    let Some((name, message, remedy)) = disk.snapshots_stay(facts) else { return };
    if facts.manner.leaves_snapshots {
        let all: Vec<&str> = disk.snapshots.iter().map(|one| one.name.as_str()).collect();
        let message = format!("{message}: what {} has is lost ({})", disk.volume, all.join(", "));
        found.warning("snapshot-lost", name, message, "leave `--leave-snapshots` out to keep it");
    } else {
        found.blocker("snapshot", name, message, remedy);
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
    snapshots(facts, disk, found);
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
