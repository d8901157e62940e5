//! The way from a volume to a hypervisor. The plugin says which; the host checks it against policy and walks it.

use super::answer::From;
use super::pool::Pool;
use super::{BlockSource, Served, Side, Transport, Way};
use crate::error::{Failure, Result};
use crate::gate::operation::{ImageFormat, ImageRef};
use crate::gate::{Actor, Ledger, Operation, Outcome};
use crate::sandbox::protocol::{Ability, AttachAccess, Attachment, StorageCall};
use crate::types::{Access, GrantName, RelativePath, VolumeName};

impl Pool {
    /// Asks the plugin how the volume is reached, checks the answer against policy, and opens it. Where the pool leaves
    /// the way open, it is chosen before ([`Pool::choose`]).
    pub fn attach(&mut self, volume: &VolumeName, access: AttachAccess) -> Result<BlockSource> {
        self.reached(volume, access)
            .and_then(|(attachment, access)| match attachment {
                Attachment::File { directory, path, format } => self.file(&directory, &path, format, access),
                Attachment::Nfs { server, port, share, path, format } => {
                    self.nfs(&server, port, &share, &path, format).map(|disk| opened(Way::Nfs(disk), access))
                }
                Attachment::Iscsi { portal, target, lun, initiator, header_digest, user, password } => self
                    .iscsi(&portal, &target, lun, (user, password))
                    .and_then(|disk| self.as_initiator(disk, initiator, header_digest))
                    .map(|disk| opened(Way::Iscsi(disk), access)),
                Attachment::Nbd { address, export } => {
                    self.nbd(&address, &export).map(|disk| opened(Way::Nbd(disk), access))
                }
                Attachment::Served => self.served(volume, access),
            })
            .map_err(|failure| self.about("attach", volume, failure))
    }

    /// What the plugin says of the way to a volume, and how what it leads to may be opened.
    fn reached(&mut self, volume: &VolumeName, access: AttachAccess) -> Result<(Attachment, Access)> {
        let function = StorageCall::Attach { name: volume.to_string(), access };
        let attachment = self.query(function, |from, answer| from.attachment(answer))?;
        Ok(match access {
            AttachAccess::ReadOnly => (attachment, Access::ReadOnly),
            AttachAccess::Exclusive | AttachAccess::Handover => (attachment, Access::ReadWrite),
        })
    }

    /// The image that a volume is; nothing is opened. For [`AttachAccess::Exclusive`] nothing else may stand on it.
    ///
    /// # Errors
    /// `Denied` where it is reached in another way than as a file.
    pub fn image(&mut self, volume: &VolumeName, access: AttachAccess) -> Result<ImageRef> {
        self.reached(volume, access)
            .and_then(|(attachment, access)| match attachment {
                Attachment::File { directory, path, format: _ } => self.granted(&directory, &path, access),
                Attachment::Nfs { .. } | Attachment::Iscsi { .. } | Attachment::Nbd { .. } | Attachment::Served => {
                    Err(Failure::denied("it is no image file, and has no snapshots inside"))
                }
            })
            .map_err(|failure| self.about("find", volume, failure))
    }

    /// How this host itself comes to the bytes of a volume, to copy them.
    ///
    /// # Errors
    /// `Denied` where it is no file and the plugin does not serve it.
    pub fn side(&mut self, volume: &VolumeName, access: AttachAccess) -> Result<Side> {
        // Whatever way a guest goes, a copy goes through the plugin.
        if self.can(Ability::Block)? {
            self.choose(volume, Transport::Served);
        }
        let found = self.reached(volume, access).and_then(|(attachment, access)| match attachment {
            Attachment::File { directory, path, format } => {
                self.granted(&directory, &path, access).map(|image| Side::Image { image, format })
            }
            // What a hypervisor would speak with itself, the plugin speaks with as well.
            Attachment::Nfs { .. } | Attachment::Iscsi { .. } | Attachment::Nbd { .. } | Attachment::Served => {
                if self.can(Ability::Block)? {
                    Ok(Side::Served { plugin: self.plugin.clone() })
                } else {
                    Err(not_supported("a way that only a hypervisor goes"))
                }
            }
        });
        found.map_err(|failure| self.about("copy", volume, failure))
    }

    /// Tells the plugin that the volume is let go.
    pub fn detach(&mut self, volume: &VolumeName) -> Result<()> {
        self.query(StorageCall::Detach { name: volume.to_string() }, |from, answer| from.nothing(&answer))
            .map_err(|failure| self.about("detach", volume, failure))
    }

    /// What the plugin named, checked against its grants.
    fn granted(&self, directory: &str, path: &str, access: Access) -> Result<ImageRef> {
        let from = From(&self.plugin);
        let directory: GrantName =
            directory.parse().map_err(|why| from.fault(format!("{directory:?} is no name of a directory: {why}")))?;
        let path: RelativePath = path.parse().map_err(|why| from.fault(format!("{path:?} is no path: {why}")))?;
        let grants = self.gate.policy().plugins.get(&self.plugin);
        let grant = grants.and_then(|grants| grants.directories.get(&directory)).ok_or_else(|| {
            Failure::denied(format!("policy grants plugin {} no directory {:?}", self.plugin, directory.as_str()))
                .hint(format!("grant it under [plugins.{}] in policy.toml", self.plugin))
        })?;
        if access == Access::ReadWrite && grant.access == Access::ReadOnly {
            return Err(Failure::denied(format!("the directory {:?} is granted for reading only", directory.as_str()))
                .hint(
                    "attach the volume read-only (a CD-ROM, or read-only = true), or widen the grant in policy.toml",
                ));
        }
        Ok(ImageRef { plugin: self.plugin.clone(), directory, path })
    }

    /// The disk is what the plugin's `block` interface shows: an image within would not be able to grow.
    fn served(&mut self, volume: &VolumeName, access: Access) -> Result<BlockSource> {
        let facts =
            self.query(StorageCall::Find { name: volume.to_string() }, |from, answer| from.volume(answer, volume))?;
        match facts.format {
            ImageFormat::Raw => Ok(BlockSource {
                way: Way::Served(Served { volume: volume.clone(), generation: 0 }),
                read_only: access == Access::ReadOnly,
            }),
            ImageFormat::Qcow2 => Err(Failure::usage("it is a qcow2 image, which cannot be served by a plugin")
                .hint("use a raw volume, or give the pool transport = \"native\"")),
        }
    }

    fn file(&self, directory: &str, path: &str, format: ImageFormat, access: Access) -> Result<BlockSource> {
        let image = self.granted(directory, path, access)?;
        let operation = Operation::ImageOpen { image, format, access };
        let done = self.gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new())?;
        match done.outcome {
            Outcome::Chain { formats } if formats.len() == done.descriptors.len() => Ok(BlockSource {
                way: Way::Files(formats.into_iter().zip(done.descriptors).collect()),
                read_only: access == Access::ReadOnly,
            }),
            other => Err(Failure::other(format!("opening an image brought forth {other:?}"))),
        }
    }
}

fn opened(way: Way, access: Access) -> BlockSource {
    BlockSource { way, read_only: access == Access::ReadOnly }
}

fn not_supported(way: &str) -> Failure {
    Failure::denied(format!("the plugin reaches it by {way}, which this version of fief does not support yet"))
        .hint("use a pool whose volumes are files")
}
