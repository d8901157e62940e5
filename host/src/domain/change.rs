//! What can be changed of a domain, as values. Pure: a change turns a definition into another one, that of the next
//! start and that of the run in the same way; what it takes to do it to a running machine is in `supervisor/change.rs`.

use serde::{Deserialize, Serialize};

use crate::config::domain::{self, Action, Autostart, Card, Disk, DiskBus, DiskDevice, DomainDefinition};
use crate::error::{Failure, Result};
use crate::types::{ByteSize, MacAddress, VolumeRef};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Change {
    AttachDisk {
        disk: Disk,
    },
    DetachDisk {
        volume: VolumeRef,
        /// Whatever its storage and its guest do.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    AttachCard {
        card: Card,
    },
    DetachCard {
        mac: MacAddress,
    },
    /// A disc into a drive: an empty one, else in the place of the disc that is in the only one, else a new drive.
    Insert {
        volume: VolumeRef,
    },
    /// A disc out of its drive, which stays. Without a volume: the only disc that there is.
    Eject {
        volume: Option<VolumeRef>,
        /// Also where the guest holds it.
        force: bool,
    },
    Set {
        settings: Settings,
    },
}

/// Those that are there are set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<ByteSize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_poweroff: Option<Action>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_reboot: Option<Action>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_crash: Option<Action>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostart: Option<Starts>,
    /// An empty one is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Whether a domain starts with its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Starts {
    WhenAsked,
    WithHost(Autostart),
}

impl Change {
    /// Whether what is lost by both is the same, by force or not.
    pub fn loses_as(&self, other: &Change) -> bool {
        match (self, other) {
            (Change::DetachDisk { volume, .. }, Change::DetachDisk { volume: other, .. }) => volume == other,
            (this, other) => this == other,
        }
    }

    /// The definition with the change; the same one where it is so already.
    ///
    /// # Errors
    /// `Conflict` where something else stands in its place, `Usage` where no domain may be so.
    pub fn apply(&self, before: &DomainDefinition) -> Result<DomainDefinition> {
        let mut after = before.clone();
        match self {
            Change::AttachDisk { disk } => match before.disks.iter().find(|other| other.volume == disk.volume) {
                Some(same) if same == disk => {}
                Some(_) => return Err(otherwise(before, &disk.volume)),
                None => after.disks.push(disk.clone()),
            },
            Change::DetachDisk { volume, force: _ } => {
                if before.disks.iter().any(|disk| disk.volume == *volume && disk.device == DiskDevice::Cdrom) {
                    return Err(Failure::conflict(format!(
                        "volume {volume} is a disc in a CD-ROM drive of {}",
                        before.name
                    ))
                    .hint(format!("`fief detach cdrom {} {volume}` takes it out", before.name)));
                }
                after.disks.retain(|disk| disk.volume != *volume);
            }
            Change::AttachCard { card } => match before.cards.iter().find(|other| other.mac == card.mac) {
                Some(same) if same == card => {}
                Some(other) => {
                    return Err(Failure::conflict(format!(
                        "domain {} has a card {} on network {}, of another kind",
                        before.name, other.mac, other.network
                    ))
                    .hint("detach it first, or give the new card another address"));
                }
                None => after.cards.push(card.clone()),
            },
            Change::DetachCard { mac } => after.cards.retain(|card| card.mac != *mac),
            Change::Insert { volume } => insert(&mut after, volume)?,
            Change::Eject { volume, .. } => {
                if let Some(disc) = disc_to_eject(before, volume.as_ref())? {
                    after.disks.retain(|disk| disk.volume != disc);
                    after.empty_drives += 1;
                }
            }
            Change::Set { settings } => settings.apply(&mut after),
        }
        if after == *before {
            return Ok(after);
        }
        // What a definition in a file has to keep to holds for this one as well.
        let text = domain::to_toml(&after);
        domain::parse(text.as_bytes(), "the changed definition", &mut domain::RandomIdentity)
            .map_err(|failure| failure.while_doing(format!("domain {} cannot be changed so", before.name)))
    }
}

impl Settings {
    fn apply(&self, definition: &mut DomainDefinition) {
        let Settings { memory, max_memory, vcpus, on_poweroff, on_reboot, on_crash, protected, autostart, description } =
            self;
        definition.memory = memory.unwrap_or(definition.memory);
        definition.max_memory = max_memory.unwrap_or(definition.max_memory);
        definition.vcpus = vcpus.unwrap_or(definition.vcpus);
        definition.on_poweroff = on_poweroff.unwrap_or(definition.on_poweroff);
        definition.on_reboot = on_reboot.unwrap_or(definition.on_reboot);
        definition.on_crash = on_crash.unwrap_or(definition.on_crash);
        definition.protected = protected.unwrap_or(definition.protected);
        match autostart {
            Some(Starts::WhenAsked) => definition.autostart = None,
            Some(Starts::WithHost(autostart)) => definition.autostart = Some(*autostart),
            None => {}
        }
        if let Some(description) = description {
            definition.description = Some(description.clone()).filter(|text| !text.is_empty());
        }
    }

    /// Those of them that a running machine can take, which has `running`: what is left waits for its next start.
    #[must_use]
    pub fn at_once(&self, running: &DomainDefinition) -> Settings {
        let memory = self.memory.filter(|memory| *memory <= running.max_memory);
        Settings { memory, max_memory: None, vcpus: None, ..self.clone() }
    }
}

fn otherwise(definition: &DomainDefinition, volume: &VolumeRef) -> Failure {
    Failure::conflict(format!("domain {} has volume {volume} already, in another way", definition.name))
        .hint(format!("`fief show {}` says how; detach it first", definition.name))
}

/// The discs in the drives of a domain.
pub fn discs(definition: &DomainDefinition) -> impl Iterator<Item = &Disk> {
    definition.disks.iter().filter(|disk| disk.device == DiskDevice::Cdrom)
}

/// A disc as a definition has it.
pub fn disc(volume: &VolumeRef) -> Disk {
    Disk { volume: volume.clone(), device: DiskDevice::Cdrom, bus: DiskBus::Sata, read_only: true }
}

/// The disc that another one takes the place of; none where a drive is empty, or there is none.
///
/// # Errors
/// `Conflict` where there are several.
pub fn disc_to_replace(definition: &DomainDefinition) -> Result<Option<VolumeRef>> {
    if definition.empty_drives > 0 {
        return Ok(None);
    }
    disc_to_eject(definition, None)
}

/// The disc that is meant; none where it is in no drive.
///
/// # Errors
/// `Conflict` where it is not said which of several.
pub fn disc_to_eject(definition: &DomainDefinition, volume: Option<&VolumeRef>) -> Result<Option<VolumeRef>> {
    let mut meant =
        discs(definition).map(|disk| &disk.volume).filter(|disc| volume.is_none_or(|volume| volume == *disc));
    match (meant.next(), meant.next()) {
        (found, None) => Ok(found.cloned()),
        (_, Some(_)) => Err(Failure::conflict(format!("domain {} has discs in several drives", definition.name))
            .hint(format!("`fief detach cdrom {} POOL/VOLUME` takes one out", definition.name))),
    }
}

fn insert(definition: &mut DomainDefinition, volume: &VolumeRef) -> Result<()> {
    match definition.disks.iter().find(|disk| disk.volume == *volume) {
        Some(disk) if disk.device == DiskDevice::Cdrom => return Ok(()),
        Some(_) => return Err(otherwise(definition, volume)),
        None => {}
    }
    match disc_to_replace(definition)? {
        Some(old) => {
            if let Some(disk) = definition.disks.iter_mut().find(|disk| disk.volume == old) {
                disk.volume = volume.clone();
            }
        }
        None => {
            definition.empty_drives = definition.empty_drives.saturating_sub(1);
            definition.disks.push(disc(volume));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn definition(rest: &str) -> DomainDefinition {
        let text = format!("name = \"n\"\nmemory = \"1GiB\"\nmax-memory = \"2GiB\"\n{rest}");
        domain::parse(text.as_bytes(), "x.toml", &mut domain::RandomIdentity).unwrap()
    }

    fn volume(name: &str) -> VolumeRef {
        format!("p/{name}").parse().unwrap()
    }

    fn disk(name: &str) -> Disk {
        Disk { volume: volume(name), device: DiskDevice::Disk, bus: DiskBus::Virtio, read_only: false }
    }

    fn card(last: u8) -> Card {
        let text = format!("[[card]]\nnetwork = \"lab\"\nmac = \"52:54:00:00:00:{last:02x}\"\n");
        definition(&text).cards.remove(0)
    }

    #[test]
    fn each_change_twice_is_the_change_once_and_its_opposite_undoes_it() {
        let before = definition("empty-drives = 1\n[[disk]]\nvolume = \"p/a\"\n");
        let pairs = [
            (Change::AttachDisk { disk: disk("b") }, Change::DetachDisk { volume: volume("b"), force: false }),
            (Change::AttachCard { card: card(7) }, Change::DetachCard { mac: card(7).mac }),
            (Change::Insert { volume: volume("iso") }, Change::Eject { volume: None, force: false }),
        ];
        for (there, back) in pairs {
            assert_eq!(back.apply(&before).unwrap(), before, "{back:?} of what is not there");
            let after = there.apply(&before).unwrap();
            assert_ne!(after, before);
            assert_eq!(there.apply(&after).unwrap(), after, "{there:?}");
            assert_eq!(back.apply(&after).unwrap(), before, "{back:?}");
        }
    }

    #[test]
    fn a_disc_takes_an_empty_drive_else_the_place_of_the_only_one_else_a_new_drive() {
        let insert =
            |definition: &DomainDefinition, name: &str| Change::Insert { volume: volume(name) }.apply(definition);
        let none = definition("");
        let one = insert(&none, "a").unwrap();
        let other = insert(&one, "b").unwrap();
        let held = |definition: &DomainDefinition| {
            (discs(definition).map(|disk| disk.volume.to_string()).collect::<Vec<_>>(), definition.empty_drives)
        };
        assert_eq!(held(&other), (vec!["p/b".to_owned()], 0));
        let two = insert(&DomainDefinition { empty_drives: 1, ..other }, "c").unwrap();
        assert_eq!(held(&two), (vec!["p/b".to_owned(), "p/c".to_owned()], 0));
        assert_eq!(insert(&two, "d").unwrap_err().kind, Kind::Conflict, "which of the two?");
        assert_eq!(Change::Eject { volume: None, force: false }.apply(&two).unwrap_err().kind, Kind::Conflict);
    }

    #[test]
    fn what_is_there_in_another_way_is_a_conflict_and_what_no_domain_may_be_a_mistake() {
        let before = definition("[[disk]]\nvolume = \"p/a\"\n[[disk]]\nvolume = \"p/cd\"\ndevice = \"cdrom\"\n");
        let kind = |change: Change| change.apply(&before).unwrap_err().kind;
        assert_eq!(kind(Change::AttachDisk { disk: Disk { read_only: true, ..disk("a") } }), Kind::Conflict);
        assert_eq!(kind(Change::Insert { volume: volume("a") }), Kind::Conflict);
        assert_eq!(kind(Change::DetachDisk { volume: volume("cd"), force: false }), Kind::Conflict);
        let settings = Settings { memory: Some(ByteSize::from_mib(4096)), vcpus: Some(2), ..Settings::default() };
        assert_eq!(kind(Change::Set { settings }), Kind::Usage, "more than max-memory");
    }

    #[test]
    fn memory_up_to_the_machines_size_is_taken_at_once() {
        let running = definition("");
        let set = |mib| Settings { memory: Some(ByteSize::from_mib(mib)), vcpus: Some(2), ..Settings::default() };
        assert_eq!(set(2048).at_once(&running), Settings { vcpus: None, ..set(2048) });
        assert_eq!(set(4096).at_once(&running), Settings::default());
    }
}
