//! Words that carry their own check: a value of these types is right, so nothing inside checks it again.

mod address;
mod card;
mod checksum;
mod digest;
mod endpoint;
mod memory;
mod name;
mod note;
mod pattern;
mod process;
mod secret;
mod signer;
mod size;

pub use address::{Cidr, MacAddress};
pub use card::{Bandwidth, Spoofing};
pub use checksum::{Checksum, Sum};
pub use digest::{Digest, hex, unhex};
pub use endpoint::{Endpoint, EndpointPattern, Host};
pub use memory::MoveLimits;
pub use name::{
    DomainName, GrantName, InterfaceName, NetworkName, PeerName, PluginId, PoolName, RelativePath, SnapshotName,
    VolumeName, VolumeRef,
};
pub use note::Note;
pub use pattern::{NamePattern, matches};
pub use process::ProcessId;
pub use secret::Secret;
pub use signer::Signer;
pub use size::{ByteSize, Span};

/// Why a text is not a value of the type that was asked for: one line, lower case, no full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    pub fn new(reason: impl Into<String>) -> Self {
        Invalid(reason.into())
    }
}

/// Serde by way of `Display` and `FromStr`, which every word here has.
macro_rules! text_serde {
    ($($name:ty),+ $(,)?) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use text_serde;

/// How something is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

/// How the content of a disk outside of pools is laid out. Told by the operator or by another host's definition; found
/// out only for a file that the operator names, and never from the content alone, which a guest wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFormat {
    Raw,
    Qcow2,
    Vmdk,
    Vhdx,
    Vdi,
    Vhd,
}

impl DiskFormat {
    pub const ALL: [DiskFormat; 6] =
        [DiskFormat::Raw, DiskFormat::Qcow2, DiskFormat::Vmdk, DiskFormat::Vhdx, DiskFormat::Vdi, DiskFormat::Vhd];

    /// What the ending of a file's name says; raw where it says nothing that is known, as `.img` and no ending mostly do.
    pub fn of_name(name: &str) -> DiskFormat {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        ending.and_then(|ending| ending.parse().ok()).unwrap_or(DiskFormat::Raw)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
            DiskFormat::Vmdk => "vmdk",
            DiskFormat::Vhdx => "vhdx",
            DiskFormat::Vdi => "vdi",
            DiskFormat::Vhd => "vhd",
        }
    }
}

impl std::str::FromStr for DiskFormat {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = |format: &&DiskFormat| format.as_str() == text;
        DiskFormat::ALL.iter().find(known).copied().ok_or_else(|| {
            let all: Vec<&str> = DiskFormat::ALL.iter().map(|format| format.as_str()).collect();
            Invalid::new(format!("{text:?} is not a format: it is one of {}", all.join(", ")))
        })
    }
}
