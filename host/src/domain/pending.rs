//! What of a domain's definition waits for its next start: it runs with something else. Pure.

use serde::Serialize;

use crate::config::domain::{Card, Disk, DomainDefinition};

/// One thing that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pending {
    /// The key in the definition, or the device.
    pub key: String,
    /// What it runs with, as the definition writes it; none where it is not there.
    pub running: Option<String>,
    pub next: Option<String>,
}

/// `vcpus 1 -> 2`.
impl std::fmt::Display for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        write!(f, "{} {} -> {}", self.key, word(&self.running), word(&self.next))
    }
}

/// What differs, in the order of the definition. What no running machine has (a name, autostart, protection, a
/// description) waits for nothing.
pub fn pending(running: &DomainDefinition, next: &DomainDefinition) -> Vec<Pending> {
    let mut all = Vec::new();
    let (before, after) = (facts(running), facts(next));
    for (key, before) in &before {
        let after = after.iter().find(|(other, _)| other == key).and_then(|(_, value)| value.clone());
        // The newest machine type is what runs, unless another was written since.
        let newest = key == "machine" && after.is_none();
        if *before != after && !newest {
            all.push(Pending { key: key.clone(), running: before.clone(), next: after });
        }
    }
    let new = after.into_iter().filter(|(key, _)| !before.iter().any(|(other, _)| other == key));
    all.extend(new.map(|(key, next)| Pending { key, running: None, next }));
    all
}

/// Each thing that a machine is started with, by its key.
fn facts(definition: &DomainDefinition) -> Vec<(String, Option<String>)> {
    let DomainDefinition {
        name: _,
        uuid: _,
        memory,
        max_memory,
        vcpus,
        accelerator,
        machine,
        cpu,
        on_poweroff,
        on_reboot,
        on_crash,
        on_storage_error,
        debug_exit,
        protected: _,
        description: _,
        empty_drives,
        generation_id,
        autostart: _,
        boot,
        disks,
        cards,
        graphics,
    } = definition;
    let mut all = vec![
        ("memory".to_owned(), Some(memory.to_string())),
        ("max-memory".to_owned(), Some(max_memory.to_string())),
        ("vcpus".to_owned(), Some(vcpus.to_string())),
        ("accelerator".to_owned(), word(accelerator)),
        ("machine".to_owned(), machine.clone()),
        ("cpu".to_owned(), cpu.clone()),
        ("on-poweroff".to_owned(), word(on_poweroff)),
        ("on-reboot".to_owned(), word(on_reboot)),
        ("on-crash".to_owned(), word(on_crash)),
        ("on-storage-error".to_owned(), on_storage_error.as_ref().and_then(word)),
        ("debug-exit".to_owned(), Some(debug_exit.to_string())),
        ("empty-drives".to_owned(), Some(empty_drives.to_string())),
        ("generation-id".to_owned(), Some(generation_id.to_string())),
        ("boot.firmware".to_owned(), word(&boot.firmware)),
        ("boot.order".to_owned(), word(&boot.order)),
        ("boot.kernel".to_owned(), boot.kernel.as_ref().map(|path| path.display().to_string())),
        ("boot.initrd".to_owned(), boot.initrd.as_ref().map(|path| path.display().to_string())),
        ("boot.cmdline".to_owned(), boot.cmdline.clone()),
        ("graphics.kind".to_owned(), word(&graphics.kind)),
    ];
    all.extend(disks.iter().map(|disk| (format!("disk {}", disk.volume), Some(kind_of_disk(disk)))));
    all.extend(cards.iter().map(|card| (format!("card {}", card.mac), Some(kind_of_card(card)))));
    all
}

fn kind_of_disk(disk: &Disk) -> String {
    let device = word(&disk.device).unwrap_or_default();
    let bus = word(&disk.bus).unwrap_or_default();
    format!("{device} on {bus}{}", if disk.read_only { ", read-only" } else { "" })
}

fn kind_of_card(card: &Card) -> String {
    let Card { network, mac: _, model, address, spoofing, bandwidth } = card;
    let mut text = format!("{} on {network}", word(model).unwrap_or_default());
    for (key, value) in [
        ("address", address.map(|address| address.to_string())),
        ("spoofing", word(spoofing).filter(|_| !spoofing.is_denied())),
        ("bandwidth", bandwidth.as_ref().and_then(word)),
    ] {
        if let Some(value) = value {
            text += &format!(", {key} {value}");
        }
    }
    text
}

/// As the definition writes it.
fn word(value: &impl Serialize) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Some(word),
        Ok(serde_json::Value::Array(words)) => {
            Some(words.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(", "))
        }
        Ok(other) => Some(other.to_string()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::domain::{RandomIdentity, parse};

    fn definition(text: &str) -> DomainDefinition {
        let head = "name = \"n\"\nuuid = \"0b1c5a3e-4f1d-4c39-9f0e-2d8a1c6b7e55\"\nmemory = \"1GiB\"\n";
        parse(format!("{head}{text}").as_bytes(), "x.toml", &mut RandomIdentity).unwrap()
    }

    fn said(running: &str, next: &str) -> Vec<String> {
        pending(&definition(running), &definition(next)).iter().map(Pending::to_string).collect()
    }

    #[test]
    fn what_differs_is_named_with_both_values() {
        assert_eq!(
            said("vcpus = 1", "vcpus = 2\n[graphics]\nkind = \"vnc\""),
            ["vcpus 1 -> 2", "graphics.kind none -> vnc"]
        );
        let disk = "[[disk]]\nvolume = \"p/a\"\n";
        assert_eq!(said("", disk), ["disk p/a none -> disk on virtio"]);
        assert_eq!(
            said(disk, "[[disk]]\nvolume = \"p/a\"\nbus = \"sata\"\n"),
            ["disk p/a disk on virtio -> disk on sata"]
        );
        assert_eq!(said(disk, ""), ["disk p/a disk on virtio -> none"]);
    }

    #[test]
    fn what_no_machine_has_waits_for_nothing() {
        assert!(said("", "protected = true\ndescription = \"the web shop\"\n[autostart]\norder = 1\n").is_empty());
        assert!(said("machine = \"pc-q35-7.2\"", "").is_empty(), "restored on the machine type that it was saved on");
    }
}
