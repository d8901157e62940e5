//! Disks as a whole: where one is copied from, and where to.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ImageFormat, ImageRef};
use crate::types::{ByteSize, Checksum, DiskFormat, PluginId, SnapshotName, VolumeRef};

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
