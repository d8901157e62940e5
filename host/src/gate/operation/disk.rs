//! Images, and disks as a whole: where one is copied from, and where to.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::types::{ByteSize, Checksum, DiskFormat, GrantName, PluginId, RelativePath, SnapshotName, VolumeRef};

/// An image below a directory that was granted to a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageRef {
    pub plugin: PluginId,
    pub directory: GrantName,
    pub path: RelativePath,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageFormat {
    Raw,
    Qcow2,
}

impl ImageFormat {
    pub const fn as_str(self) -> &'static str {
        match self {
            ImageFormat::Raw => "raw",
            ImageFormat::Qcow2 => "qcow2",
        }
    }
}

impl From<ImageFormat> for DiskFormat {
    fn from(format: ImageFormat) -> DiskFormat {
        match format {
            ImageFormat::Raw => DiskFormat::Raw,
            ImageFormat::Qcow2 => DiskFormat::Qcow2,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preallocation {
    Sparse,
    Full,
}

/// A disk of another host, in a file or on a block device of this one that the operator named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ForeignImage {
    /// Absolute, and without a symbolic link in it.
    pub path: PathBuf,
    /// Told by the operator or the other host's definition. Where it is found out, that is shown.
    pub format: DiskFormat,
    /// Where in the file it lies, as a disk in an archive does; none: it is the whole.
    pub part: Option<FilePart>,
    pub checksum: Option<Checksum>,
}

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FilePart {
    pub offset: u64,
    pub length: u64,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskSource {
    File(ForeignImage),
    /// An image below a granted directory, with all that it stands on; or a snapshot inside of it.
    Image {
        image: ImageRef,
        format: ImageFormat,
        snapshot: Option<SnapshotName>,
    },
    /// A volume that its plugin serves: what speaks NBD with it comes as a descriptor, before that of a target.
    Served {
        plugin: PluginId,
        volume: VolumeRef,
        export: String,
        size: ByteSize,
    },
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskTarget {
    /// An image that was made for it, and that goes where the copy comes to nothing.
    Image { image: ImageRef, format: ImageFormat },
    /// A file of the operator's that is not there yet, absolute.
    File { path: PathBuf, format: DiskFormat },
    /// A volume that its plugin serves, as above. `blank`: it reads as zeroes, so that these need not be written.
    Served { plugin: PluginId, volume: VolumeRef, export: String, blank: bool },
}
