//! `domain.toml`: a domain as its operator defines it, with the fields of a Xen guest file.
//!
//! ```toml
//! name = "node1"
//! uuid = "0b1c…"                      # made by `create` where absent
//! memory = "512MiB"                   # in whole MiB
//! max-memory = "1GiB"                 # = memory where absent
//! vcpus = 2                           # 1 where absent
//! accelerator = "auto"                # auto | kvm | tcg; auto where absent
//! machine = "pc-q35-7.2"              # QEMU's name of a machine type; its newest q35 where absent
//! cpu = "max"                         # QEMU's name of a model; the accelerator's best where absent
//! on-poweroff = "destroy"             # destroy | restart | preserve; these three where absent
//! on-reboot = "restart"
//! on-crash = "restart"
//! on-storage-error = "pause"          # pause | report; where absent: pause, but a disk in a local file reports all but a full disk
//! debug-exit = false                  # isa-debug-exit at port 0xf4: the guest's exit code
//! protected = false                   # refuses to be deleted
//! description = "the web shop"        # for people
//! empty-drives = 0                    # CD-ROM drives without a disc
//! generation-id = "6d2f…"             # = uuid where absent; a new one tells a guest that it is a copy
//!
//! [autostart]                         # started when the host is; absent: only when asked
//! order = 100                         # lower starts first, equals by name; 100 where absent
//! delay = "0s"                        # how long to wait after its start before the next
//!
//! [boot]
//! firmware = "bios"                   # bios | uefi; bios where absent
//! order = ["disk", "cdrom"]           # disk | cdrom | network; these two where absent
//! kernel = "/boot/vmlinuz"            # direct kernel boot; then order and firmware do not apply
//! initrd = "/boot/initrd.img"
//! cmdline = "console=ttyS0"
//!
//! [[disk]]
//! volume = "default/node1"            # POOL/VOLUME
//! device = "disk"                     # disk | cdrom; disk where absent
//! bus = "virtio"                      # virtio | sata; virtio where absent; a CD-ROM drive is on sata
//! read-only = false                   # a CD-ROM is read-only by itself
//!
//! [[card]]
//! network = "lab"
//! mac = "52:54:00:12:34:56"           # made by `create` where absent
//! model = "virtio"                    # virtio | e1000; virtio where absent
//! address = "10.77.0.5"               # optional: the only address it may send from; DHCP gives it this one
//! spoofing = "denied"                 # denied | allowed: speaks as any MAC, address, DHCP server or router; denied where absent
//! bandwidth = "100Mbit"               # each way, at the most; no limit where absent
//!
//! [graphics]
//! kind = "vnc"                        # none | vnc (on a private unix socket); none where absent
//! ```

mod parse;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::types::{Bandwidth, ByteSize, DomainName, MacAddress, NetworkName, Span, Spoofing, VolumeRef};

pub use parse::{CARDS_MAX, DISKS_MAX, Identity, MEMORY_MAX, MEMORY_MIN, RandomIdentity, VCPUS_MAX, parse, to_toml};

/// The checked definition. Serialises as the TOML above, so that `show` prints what `create -f -` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DomainDefinition {
    pub name: DomainName,
    pub uuid: Uuid,
    pub memory: ByteSize,
    pub max_memory: ByteSize,
    pub vcpus: u16,
    pub accelerator: Accelerator,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    pub on_poweroff: Action,
    pub on_reboot: Action,
    pub on_crash: Action,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_storage_error: Option<OnStorageError>,
    pub debug_exit: bool,
    pub protected: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// CD-ROM drives without a disc: `fief attach cdrom` puts one in.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub empty_drives: usize,
    /// Shown to the guest as a VM generation id ("Virtual Machine Generation ID", Microsoft, 2018).
    pub generation_id: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostart: Option<Autostart>,
    pub boot: Boot,
    #[serde(default, rename = "disk", skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    #[serde(default, rename = "card", skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<Card>,
    pub graphics: Graphics,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// KVM where a probe shows that it runs a guest, else software emulation.
    Auto,
    Kvm,
    Tcg,
}

/// When the host starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Autostart {
    /// Lower starts first; equals by name.
    pub order: u16,
    pub delay: Span,
}

/// What to do when the guest powers off, reboots or crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Destroy,
    Restart,
    /// Keep it, stopped, for a look at it.
    Preserve,
}

/// What becomes of a request of the guest's that its storage failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnStorageError {
    /// The guest stands still, and goes on once the storage answers again.
    Pause,
    /// The guest hears of it, as it would from a broken disk.
    Report,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Boot {
    pub firmware: Firmware,
    pub order: Vec<BootDevice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    Bios,
    Uefi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootDevice {
    Disk,
    Cdrom,
    Network,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Disk {
    pub volume: VolumeRef,
    pub device: DiskDevice,
    pub bus: DiskBus,
    pub read_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskDevice {
    Disk,
    Cdrom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskBus {
    Virtio,
    Sata,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Card {
    pub network: NetworkName,
    pub mac: MacAddress,
    pub model: CardModel,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Spoofing::is_denied")]
    pub spoofing: Spoofing,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardModel {
    Virtio,
    E1000,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Graphics {
    pub kind: GraphicsKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraphicsKind {
    None,
    Vnc,
}
