//! What a change takes while a machine runs, from what it runs with and where its devices sit. Pure.

use crate::config::domain::DomainDefinition;
use crate::domain::change::{Change, disc_to_eject, disc_to_replace, discs};
use crate::error::{Failure, Result};
use crate::hypervisor::Places;
use crate::hypervisor::places::{FIXED, card_in_port, in_port};
use crate::network::Port;
use crate::types::VolumeRef;

/// Why a change waits for the next start; none where it can be done now.
pub(super) fn why_later(change: &Change, running: &DomainDefinition, places: &Places) -> Option<String> {
    let no_port = |free: Option<usize>, what: &str| match (places.hardware, free) {
        (..2, _) => Some(NO_PORTS.to_owned()),
        (_, None) => Some(format!("all its ports for {what} are taken")),
        (_, Some(_)) => None,
    };
    let sits_still = |place: Option<&usize>, what: &str| match place {
        Some(place) if *place >= FIXED => Some(format!("{what} cannot be unplugged while it runs")),
        Some(_) if places.hardware < 2 => Some(NO_PORTS.to_owned()),
        Some(_) | None => None,
    };
    match change {
        Change::AttachDisk { disk } if !in_port(disk.device, disk.bus) => {
            Some(format!("{SATA} plugged in while it runs"))
        }
        Change::AttachDisk { .. } => no_port(places.free_disk_port(), "disks"),
        Change::DetachDisk { volume, force: _ } => sits_still(places.disks.get(volume), "a SATA disk"),
        Change::AttachCard { card } if !card_in_port(card.model) => {
            Some("a card of this model cannot be plugged in while it runs".to_owned())
        }
        Change::AttachCard { .. } => no_port(places.free_card_port(), "cards"),
        Change::DetachCard { mac } => sits_still(places.cards.get(mac), "a card of this model"),
        Change::Insert { .. } if places.drives.is_empty() && discs(running).next().is_none() => {
            Some("it has no CD-ROM drive, and one cannot be plugged in while it runs".to_owned())
        }
        Change::Insert { .. } | Change::Eject { .. } | Change::Set { .. } => None,
    }
}

const SATA: &str = "a SATA disk cannot be";
const NO_PORTS: &str = "it was started by an earlier fief, and has no ports to plug into";

/// Where the device is to sit, or sits.
pub(super) fn place(change: &Change, running: &DomainDefinition, places: &Places) -> Result<usize> {
    let none = || Failure::other("there is no place for it");
    let drive_of = |disc: Option<VolumeRef>| disc.ok_or_else(none).and_then(|disc| places.disk(&disc));
    match change {
        Change::AttachDisk { .. } => places.free_disk_port().ok_or_else(none),
        Change::AttachCard { .. } => places.free_card_port().ok_or_else(none),
        Change::DetachDisk { volume, force: _ } => places.disk(volume),
        Change::DetachCard { mac } => places.card(*mac),
        Change::Insert { .. } => match places.drives.first() {
            Some(drive) => Ok(*drive),
            None => drive_of(disc_to_replace(running)?),
        },
        Change::Eject { volume, .. } => drive_of(disc_to_eject(running, volume.as_ref())?),
        Change::Set { .. } => Err(none()),
    }
}

/// The places after the change; `running` is from before it.
pub(super) fn moved(change: &Change, place: usize, running: &DomainDefinition, places: &Places) -> Result<Places> {
    let mut after = places.clone();
    match change {
        Change::AttachDisk { disk } => {
            after.disks.insert(disk.volume.clone(), place);
        }
        Change::AttachCard { card } => {
            after.cards.insert(card.mac, place);
        }
        Change::DetachDisk { volume, force: _ } => {
            after.disks.remove(volume);
        }
        Change::DetachCard { mac } => {
            after.cards.remove(mac);
        }
        Change::Insert { volume } => {
            after.drives.retain(|drive| *drive != place);
            after.disks.retain(|_, at| *at != place);
            after.disks.insert(volume.clone(), place);
        }
        Change::Eject { volume, .. } => {
            if let Some(disc) = disc_to_eject(running, volume.as_ref())? {
                after.disks.remove(&disc);
                after.drives.push(place);
            }
        }
        Change::Set { .. } => {}
    }
    Ok(after)
}

/// A user-mode card that reaches something of the host's.
pub(super) fn needs_host_network(port: &Port) -> bool {
    match port {
        Port::Bridge { .. } => false,
        Port::User { forwards, restricted, .. } => !restricted || !forwards.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::domain::{RandomIdentity, parse};
    use crate::domain::change::disc;

    fn definition(rest: &str) -> DomainDefinition {
        parse(format!("name = \"n\"\nmemory = \"1GiB\"\n{rest}").as_bytes(), "x.toml", &mut RandomIdentity).unwrap()
    }

    fn volume(name: &str) -> VolumeRef {
        format!("p/{name}").parse().unwrap()
    }

    #[test]
    fn a_device_gets_a_free_place_and_leaves_it_free() {
        let before = definition("[[disk]]\nvolume = \"p/a\"\n");
        let places = Places::new(&before);
        let attach = Change::AttachDisk { disk: definition("[[disk]]\nvolume = \"p/b\"\n").disks.remove(0) };
        let at = place(&attach, &before, &places).unwrap();
        let after = moved(&attach, at, &before, &places).unwrap();
        assert_eq!((at, after.disk(&volume("b")).unwrap()), (1, 1));
        let detach = Change::DetachDisk { volume: volume("a"), force: false };
        let after = moved(&detach, 0, &attach.apply(&before).unwrap(), &after).unwrap();
        assert_eq!((after.free_disk_port(), after.disk(&volume("b")).unwrap()), (Some(0), 1));
    }

    #[test]
    fn a_disc_changes_in_its_drive() {
        let before = definition("[[disk]]\nvolume = \"p/a\"\ndevice = \"cdrom\"\n");
        let places = Places::new(&before);
        let insert = Change::Insert { volume: volume("b") };
        assert_eq!((why_later(&insert, &before, &places), place(&insert, &before, &places).unwrap()), (None, FIXED));
        let after = moved(&insert, FIXED, &before, &places).unwrap();
        assert_eq!(after.disks, std::collections::BTreeMap::from([(volume("b"), FIXED)]));
        let eject = Change::Eject { volume: None, force: false };
        let empty = moved(&eject, FIXED, &insert.apply(&before).unwrap(), &after).unwrap();
        assert_eq!((empty.drives, empty.disks.len()), (vec![FIXED], 0));
        assert!(why_later(&insert, &definition(""), &Places::new(&definition(""))).is_some(), "no drive");
    }

    #[test]
    fn what_does_not_sit_in_a_port_waits() {
        let running = definition("[[disk]]\nvolume = \"p/a\"\n[[disk]]\nvolume = \"p/s\"\nbus = \"sata\"\n");
        let detach = |name: &str| Change::DetachDisk { volume: volume(name), force: false };
        let later = |change: &Change, places: &Places| why_later(change, &running, places).is_some();
        let (now, first) = (Places::new(&running), Places::first_layout(&running));
        assert_eq!(
            [later(&detach("a"), &now), later(&detach("s"), &now), later(&detach("a"), &first)],
            [false, true, true]
        );
        let sata = Change::AttachDisk { disk: disc(&volume("x")) };
        assert!(later(&sata, &now));
        let e1000 = definition("[[card]]\nnetwork = \"l\"\nmodel = \"e1000\"\n").cards.remove(0);
        assert!(later(&Change::AttachCard { card: e1000 }, &now));
    }
}
