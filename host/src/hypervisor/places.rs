//! Where each device of a machine sits. Pure.
//!
//! A guest finds its devices again by their places, so that a state which is restored must find each where it was: a place
//! is given when the device comes, kept while the machine runs, and written down (record, saved state). At a start
//! places follow the order of the definition; what is unplugged leaves its place free.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::domain::{CardModel, DiskBus, DiskDevice, DomainDefinition};
use crate::error::{Failure, Result};
use crate::types::{MacAddress, VolumeRef};

/// How fief lays machines out (hypervisor/qemu/arguments). Raised with every change that a guest could see; a state fits
/// the layout that it was saved with, so that each that was ever used can still be built.
///
/// | layout | what came with it |
/// | --- | --- |
/// | 1 | disks and cards sit on the root bus, where nothing can be plugged in; memory is what the guest has |
/// | 2 | virtio disks and cards sit in ports; memory is the most that the guest may have; a generation id |
pub const HARDWARE: u32 = 2;

/// Places from here on are no ports: SATA disks and drives, and cards that are not virtio.
pub const FIXED: usize = 64;
/// Ports of each kind, unless a machine starts with more devices: each costs a guest time when it looks for devices.
const PORTS: usize = 8;
/// Ports of each kind where it does: as many as a definition may have devices.
const PORTS_MAX: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Places {
    pub hardware: u32,
    /// None in layout 1.
    pub disk_ports: usize,
    pub card_ports: usize,
    pub disks: BTreeMap<VolumeRef, usize>,
    pub cards: BTreeMap<MacAddress, usize>,
    /// CD-ROM drives without a disc.
    pub drives: Vec<usize>,
}

impl Places {
    /// Those of a machine that starts now.
    pub fn new(definition: &DomainDefinition) -> Self {
        Places::in_layout(definition, HARDWARE)
    }

    /// Those of a machine that fief started before it wrote places down.
    pub fn first_layout(definition: &DomainDefinition) -> Self {
        Places::in_layout(definition, 1)
    }

    fn in_layout(definition: &DomainDefinition, hardware: u32) -> Self {
        let (mut ports, mut fixed) = (0.., FIXED..);
        let mut next = |port: bool| if port { ports.next() } else { fixed.next() }.unwrap_or(FIXED);
        let disks: BTreeMap<VolumeRef, usize> =
            definition.disks.iter().map(|disk| (disk.volume.clone(), next(in_port(disk.device, disk.bus)))).collect();
        let drives = (0..definition.empty_drives).map(|_| next(false)).collect();
        let (mut ports, mut fixed) = (0.., FIXED..);
        let mut next = |port: bool| if port { ports.next() } else { fixed.next() }.unwrap_or(FIXED);
        let cards: BTreeMap<MacAddress, usize> =
            definition.cards.iter().map(|card| (card.mac, next(card_in_port(card.model)))).collect();
        let count = |places: &mut dyn Iterator<Item = usize>| match places.filter(|place| *place < FIXED).count() {
            _ if hardware < 2 => 0,
            few if few <= PORTS => PORTS,
            _ => PORTS_MAX,
        };
        Places {
            hardware,
            disk_ports: count(&mut disks.values().copied()),
            card_ports: count(&mut cards.values().copied()),
            disks,
            cards,
            drives,
        }
    }

    /// The same places for a definition with other volumes in them, in the same order.
    #[must_use]
    pub fn renamed(&self, before: &DomainDefinition, after: &DomainDefinition) -> Self {
        let both = before.disks.iter().zip(&after.disks);
        let disks = both.filter_map(|(old, new)| Some((new.volume.clone(), *self.disks.get(&old.volume)?))).collect();
        Places { disks, ..self.clone() }
    }

    pub fn disk(&self, volume: &VolumeRef) -> Result<usize> {
        self.disks.get(volume).copied().ok_or_else(|| Failure::other(format!("volume {volume} has no place")))
    }
    pub fn card(&self, mac: MacAddress) -> Result<usize> {
        self.cards.get(&mac).copied().ok_or_else(|| Failure::other(format!("card {mac} has no place")))
    }

    /// A port that a disk can be plugged into now.
    pub fn free_disk_port(&self) -> Option<usize> {
        (0..self.disk_ports).find(|port| !self.disks.values().any(|taken| taken == port))
    }
    /// A port that a card can be plugged into now.
    pub fn free_card_port(&self) -> Option<usize> {
        (0..self.card_ports).find(|port| !self.cards.values().any(|taken| taken == port))
    }
}

/// CD-ROM drives are SATA whatever the bus: firmware boots from it, and every system has the driver.
pub const fn in_port(device: DiskDevice, bus: DiskBus) -> bool {
    match (device, bus) {
        (DiskDevice::Disk, DiskBus::Virtio) => true,
        (DiskDevice::Disk, DiskBus::Sata) | (DiskDevice::Cdrom, DiskBus::Sata | DiskBus::Virtio) => false,
    }
}

/// Other models are for guests that know nothing of ports.
pub const fn card_in_port(model: CardModel) -> bool {
    match model {
        CardModel::Virtio => true,
        CardModel::E1000 => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::domain::{RandomIdentity, parse};

    fn definition(rest: &str) -> DomainDefinition {
        let text = format!("name = \"n\"\nmemory = \"1GiB\"\nempty-drives = 1\n{rest}");
        parse(text.as_bytes(), "x.toml", &mut RandomIdentity).unwrap()
    }

    fn volume(name: &str) -> VolumeRef {
        format!("p/{name}").parse().unwrap()
    }

    #[test]
    fn places_follow_the_definition_at_a_start_and_stay_while_others_come_and_go() {
        let disks =
            "[[disk]]\nvolume = \"p/a\"\n[[disk]]\nvolume = \"p/cd\"\ndevice = \"cdrom\"\n[[disk]]\nvolume = \"p/b\"\n";
        let definition = definition(disks);
        let mut places = Places::new(&definition);
        let of = |places: &Places, name: &str| places.disk(&volume(name)).ok();
        assert_eq!([of(&places, "a"), of(&places, "b"), of(&places, "cd")], [Some(0), Some(1), Some(FIXED)]);
        assert_eq!((&places.drives[..], places.disk_ports, places.card_ports), (&[FIXED + 1][..], PORTS, PORTS));
        places.disks.remove(&volume("a"));
        assert_eq!((of(&places, "b"), places.free_disk_port()), (Some(1), Some(0)));
        places.disks.insert(volume("c"), 0);
        assert_eq!(places.free_disk_port(), Some(2));
    }

    #[test]
    fn a_machine_with_many_devices_has_more_ports_and_one_of_the_first_layout_none() {
        let many: String =
            (0..9).map(|n| format!("[[card]]\nnetwork = \"l\"\nmac = \"52:54:00:00:00:0{n}\"\n")).collect();
        let definition = definition(&many);
        let places = Places::new(&definition);
        assert_eq!((places.disk_ports, places.card_ports, places.free_card_port()), (PORTS, PORTS_MAX, Some(9)));
        let old = Places::first_layout(&definition);
        assert_eq!((old.hardware, old.free_disk_port(), old.free_card_port()), (1, None, None));
        assert_eq!(old.cards, places.cards);
    }

    #[test]
    fn other_volumes_take_the_places_of_those_before() {
        let before = definition("[[disk]]\nvolume = \"p/a\"\n[[disk]]\nvolume = \"p/b\"\n");
        let after = definition("[[disk]]\nvolume = \"p/moved\"\n[[disk]]\nvolume = \"p/b\"\n");
        let mut places = Places::new(&before);
        places.disks.insert(volume("a"), 5);
        let renamed = places.renamed(&before, &after);
        assert_eq!(renamed.disks, BTreeMap::from([(volume("moved"), 5), (volume("b"), 1)]));
    }
}
