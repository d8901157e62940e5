//! Words that carry their own check: a value of these types is right, so nothing inside checks it again.

mod address;
mod card;
mod checksum;
mod digest;
mod endpoint;
mod name;
mod process;
mod secret;
mod size;

pub use address::{Cidr, MacAddress};
pub use card::{Bandwidth, Spoofing};
pub use checksum::{Checksum, Sum};
pub use digest::Digest;
pub use endpoint::{Endpoint, EndpointPattern, Host};
pub use name::{
    DomainName, GrantName, InterfaceName, NetworkName, PluginId, PoolName, RelativePath, SnapshotName, VolumeName,
    VolumeRef,
};
pub use process::ProcessId;
pub use secret::Secret;
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

/// How the content of another host's disk is laid out. Told by that host's definition, never found out from the
/// content, which a guest wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFormat {
    Raw,
    Qcow2,
    Vmdk,
}

impl DiskFormat {
    pub const fn as_str(self) -> &'static str {
        match self {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
            DiskFormat::Vmdk => "vmdk",
        }
    }
}
