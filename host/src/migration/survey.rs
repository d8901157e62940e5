//! What two hosts say to each other before a move (the service `plan`): the source says what the domain has, the target
//! what it has for that. What comes from the other host is read as a type that refuses what it does not know, and is held
//! to limits; where the two speak of one thing, the names in the answer are those of the question.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::message::Power;
use super::plan::{DiskFacts, HostFacts, Sameness};
use crate::config::domain::{Accelerator, CARDS_MAX, DISKS_MAX};
use crate::error::{Failure, Kind, Result};
use crate::types::{ByteSize, DomainName, MacAddress, NetworkName, Note, PluginId, PoolName, VolumeRef};

/// Most words of a list that a hypervisor has of itself (machines, models, features): today's have some hundred.
const WORDS_MAX: usize = 4096;
/// Longest of them, in bytes, and longest text for people.
const WORD_MAX: usize = 128;
const TEXT_MAX: usize = 1024;
/// Longest name of a file (PATH_MAX, limits.h).
const PATH_MAX: usize = 4096;
/// Most plugins that a domain can need: one for each disk and card, and one that moves it.
const PLUGINS_MAX: usize = DISKS_MAX + CARDS_MAX + 1;
/// Subnets of one network.
const SUBNETS_MAX: usize = 64;
/// A kernel and an initrd.
const FILES_MAX: usize = 2;

/// What the service is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    Survey(Box<Subject>),
    /// Which notes there are with these volumes: the source has just left one with each.
    Notes(BTreeSet<VolumeRef>),
    /// Which of these pools make volumes that can have snapshots.
    Snapshots(BTreeSet<PoolName>),
    /// Why a guest that this strategy moves cannot go on here before all of its memory has come; none where it can.
    Postcopy(PluginId),
}

/// The notes of a volume, as the target reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NotesThere {
    pub volume: VolumeRef,
    pub notes: BTreeSet<Note>,
}

/// A domain that is to move, as far as the target has to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Subject {
    pub domain: DomainName,
    pub uuid: Uuid,
    pub power: Power,
    pub accelerator: Accelerator,
    pub macs: Vec<MacAddress>,
    pub networks: BTreeSet<NetworkName>,
    pub volumes: BTreeSet<VolumeRef>,
    pub plugins: BTreeSet<PluginId>,
    pub files: BTreeSet<String>,
}

/// What the target has for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Told {
    /// Of its networks those that were named, of its plugins those and those that serve here what was named, of its domains
    /// those that have something of the subject's.
    pub host: HostFacts,
    pub volumes: Vec<VolumeThere>,
    pub files: BTreeSet<String>,
}

/// A place for a volume that was named, in a pool that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VolumeThere {
    pub volume: VolumeRef,
    /// What serves the pool.
    pub plugin: Option<PluginId>,
    /// What the pool's storage is; none where it does not answer.
    pub identity: Option<String>,
    /// Other hosts may reach it; one that none reaches is this one's alone, whatever it says that it is.
    pub reachable: bool,
    pub room: Option<ByteSize>,
    pub exists: bool,
}

impl Subject {
    /// # Errors
    /// `Usage` where it is more than any domain can have.
    pub fn check(&self) -> Result<()> {
        let most = [
            ("cards", self.macs.len(), CARDS_MAX),
            ("networks", self.networks.len(), CARDS_MAX),
            ("volumes", self.volumes.len(), DISKS_MAX),
            ("plugins", self.plugins.len(), PLUGINS_MAX),
            ("files", self.files.len(), FILES_MAX),
        ];
        let longest = self.files.iter().all(|file| file.len() <= PATH_MAX && file.starts_with('/'));
        match most.into_iter().find(|(_, is, most)| is > most) {
            Some((what, is, most)) => Err(Failure::usage(format!("{is} {what} are more than {most}"))),
            None if !longest => Err(Failure::usage("a name of a file is none")),
            None => Ok(()),
        }
    }
}

impl Told {
    /// What `peer` told of itself, where it is an answer to this.
    ///
    /// # Errors
    /// `Unreachable` where it is none that can be believed.
    pub fn checked(self, subject: &Subject, peer: &impl std::fmt::Display) -> Result<Told> {
        match self.trouble(subject) {
            None => Ok(self),
            Some(what) => Err(Failure::new(
                Kind::Unreachable,
                format!("the peer {peer} says of itself what this host does not believe: {what}"),
            )
            .hint("one of the two hosts has an older fief, or is not well")),
        }
    }

    fn trouble(&self, subject: &Subject) -> Option<&'static str> {
        let host = &self.host;
        let words = [&host.machines, &host.cpu_models, &host.cpu_features];
        let single = [&host.name, &host.architecture, &host.hypervisor, &host.hypervisor_version, &host.cpu_vendor];
        let subnets = || host.networks.iter().map(|network| &network.subnets);
        let identities = self.volumes.iter().filter_map(|there| there.identity.as_ref());
        let about = |taken: &super::plan::Taken| {
            taken.uuid == subject.uuid
                || taken.name.as_str().eq_ignore_ascii_case(subject.domain.as_str())
                || taken.macs.iter().any(|mac| subject.macs.contains(mac))
        };
        let troubles = [
            ("lists that have no end", words.iter().any(|list| list.len() > WORDS_MAX)),
            ("words that are none", words.iter().flat_map(|list| list.iter()).chain(single).any(|word| !is_word(word))),
            ("texts that have no end", identities.chain(&host.denial).any(|text| text.len() > TEXT_MAX)),
            ("more networks than were asked for", !within(host.networks.iter().map(|n| &n.name), &subject.networks)),
            ("more subnets than a network has", subnets().any(|list| list.len() > SUBNETS_MAX)),
            ("subnets that are none", subnets().flatten().any(|subnet| !is_word(subnet))),
            ("other volumes than were asked for", !within(self.volumes.iter().map(|v| &v.volume), &subject.volumes)),
            ("other files than were asked for", !self.files.is_subset(&subject.files)),
            ("more plugins than there can be", host.plugins.len() > 2 * PLUGINS_MAX),
            ("domains that have nothing of this one's", !host.domains.iter().all(about)),
            ("more domains than can be", host.domains.len() > 2 + CARDS_MAX),
            ("more cards than a domain has", host.domains.iter().any(|taken| taken.macs.len() > CARDS_MAX)),
        ];
        troubles.into_iter().find(|(_, is_so)| *is_so).map(|(what, _)| what)
    }

    /// What serves the domain's disks and cards here, and is needed there too: another plugin may serve a pool or a network
    /// of that name.
    pub fn needed(&self, disks: &[(VolumeRef, PluginId)], cards: &[(NetworkName, PluginId)]) -> BTreeSet<PluginId> {
        let installed = |id: &PluginId| self.host.plugins.iter().any(|plugin| plugin.id == *id);
        let served = |here: &PluginId, there: Option<&PluginId>| match there {
            Some(there) if there != here && installed(there) => None,
            Some(_) | None => Some(here.clone()),
        };
        let disks = disks.iter().filter_map(|(volume, here)| {
            let there = self.volumes.iter().find(|there| there.volume == *volume);
            served(here, there.and_then(|there| there.plugin.as_ref()))
        });
        let cards = cards.iter().filter_map(|(network, here)| {
            let there = self.host.networks.iter().find(|there| there.name == *network);
            served(here, there.and_then(|there| there.plugin.as_ref()))
        });
        disks.chain(cards).collect()
    }

    /// A disk, with what the target has for it. `here`: the identity of its pool, where that answers, and whether other hosts
    /// may reach it.
    pub fn place(&self, disk: &mut DiskFacts, here: Option<(&str, bool)>) {
        let there = self.volumes.iter().find(|there| there.volume == disk.volume);
        disk.pool_there = there.is_some();
        disk.room_there = there.and_then(|there| there.room);
        disk.exists_there = there.is_some_and(|there| there.exists);
        let there = there.and_then(|there| Some((there.identity.as_deref()?, there.reachable)));
        disk.sameness = match (here, there) {
            (Some((here, true)), Some((there, true))) if here == there => Sameness::Claimed,
            (Some(_), Some(_)) => Sameness::Other,
            (None, _) | (_, None) => Sameness::Unknown,
        };
    }
}

/// All of `names` are in `asked`, and none of them twice.
fn within<'a, T: Ord + 'a>(names: impl Iterator<Item = &'a T>, asked: &BTreeSet<T>) -> bool {
    let mut seen = BTreeSet::new();
    names.into_iter().all(|name| asked.contains(name) && seen.insert(name))
}

fn is_word(text: &str) -> bool {
    text.len() <= WORD_MAX && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
}

#[cfg(test)]
mod tests;
