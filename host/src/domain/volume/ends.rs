//! The two sides of a copy: an image is named to the gate, what is no image is served to this command by its plugin, in a
//! sandbox that goes with it.

use std::fs::{DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{hold_as, refuse_written};
use crate::domain::hold;
use crate::error::{Context, Failure, Result};
use crate::gate::operation::{DiskSource, DiskTarget, ImageFormat, ImageRef};
use crate::gate::{Actor, Gate, Ledger, Operation};
use crate::plugin::{Heard, Serving};
use crate::sandbox::protocol::{AttachAccess, Holder};
use crate::storage::{Pool, Served, Service, Side};
use crate::sys::socket;
use crate::types::{Access, ByteSize, SnapshotName, VolumeRef};

/// How long storage may take to open a volume, and to let go of it with all that was written.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks whether something listens.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How an image is called where it is served as a disk (`gate/perform/image/serve.rs`).
const IMAGE_EXPORT: &str = "disk";

/// How this process itself reads or writes a volume.
#[derive(Debug)]
pub(super) enum Way {
    /// A raw image.
    File(File),
    /// NBD.
    Served { socket: UnixStream, export: String },
}

pub(super) struct Ends<'a> {
    gate: &'a Gate,
    /// Of what is started for it.
    ledger: &'a mut Ledger,
    /// Where its sockets lie.
    folder: &'a Path,
    served: Vec<(Serving, mpsc::Receiver<Heard>)>,
    /// To what is served, the source first.
    connections: Vec<OwnedFd>,
}

impl<'a> Ends<'a> {
    pub(super) fn new(gate: &'a Gate, ledger: &'a mut Ledger, folder: &'a Path) -> Self {
        Ends { gate, ledger, folder, served: Vec::new(), connections: Vec::new() }
    }

    /// A volume, or a snapshot of it, that nobody writes to.
    pub(super) fn source(&mut self, volume: &VolumeRef, snapshot: Option<&SnapshotName>) -> Result<DiskSource> {
        refuse_written(self.gate, volume)?;
        let mut pool = Pool::open(self.gate, &volume.pool)?;
        hold::refuse_elsewhere(self.gate, &mut pool, volume, "copy")?;
        match (pool.side(&volume.volume, AttachAccess::ReadOnly)?, snapshot) {
            (Side::Image { image, format }, snapshot) => {
                Ok(DiskSource::Image { image, format, snapshot: snapshot.cloned() })
            }
            (Side::Served { .. }, Some(snapshot)) => {
                Err(Failure::usage(format!("the snapshot {snapshot} of {volume} is not inside of an image"))
                    .hint("copy the volume as it is, or go back to the snapshot first"))
            }
            (Side::Served { plugin }, None) => {
                let size = ByteSize::from_bytes(pool.volume(&volume.volume)?.size);
                let export = self.serve(&mut pool, volume, AttachAccess::ReadOnly, None)?;
                Ok(DiskSource::Served { plugin, volume: volume.clone(), export, size })
            }
        }
    }

    /// A volume that is written, and that other hosts keep off meanwhile. `blank`: it was just made.
    pub(super) fn target(&mut self, volume: &VolumeRef, blank: bool) -> Result<DiskTarget> {
        let mut pool = Pool::open(self.gate, &volume.pool)?;
        pool.same_storage()?;
        let holder = hold::take(self.gate, &mut pool, volume, &hold_as()?)?;
        match pool.side(&volume.volume, AttachAccess::Exclusive)? {
            Side::Image { image, format } if blank => Ok(DiskTarget::Image { image, format }),
            Side::Image { .. } => Err(Failure::usage(format!("volume {volume} is an image, which is made anew"))
                .hint("delete it first, and leave --onto out")),
            Side::Served { plugin } => {
                let export = self.serve(&mut pool, volume, AttachAccess::Exclusive, Some(holder))?;
                Ok(DiskTarget::Served { plugin, volume: volume.clone(), export, blank })
            }
        }
    }

    /// A volume that nobody writes to, for this process to read.
    pub(super) fn read(&mut self, volume: &VolumeRef) -> Result<Way> {
        match self.source(volume, None)? {
            DiskSource::Image { image, format, snapshot: _ } => self.image(image, format, Access::ReadOnly),
            DiskSource::Served { export, .. } => self.served(export),
            DiskSource::File(file) => Err(Failure::other(format!("{} is no volume", file.path.display()))),
        }
    }

    /// A snapshot inside of a volume, for this process to read. It stays as it is, whoever writes to the volume meanwhile.
    pub(super) fn read_snapshot(&mut self, volume: &VolumeRef, snapshot: &SnapshotName) -> Result<Way> {
        let image = Pool::open(self.gate, &volume.pool)?.image(&volume.volume, AttachAccess::ReadOnly)?;
        let saying = || format!("cannot speak with what serves the snapshot {snapshot} of {volume}");
        let place = self.folder.join("snapshot");
        DirBuilder::new().recursive(true).mode(0o700).create(&place).context(saying)?;
        let folder = OwnedFd::from(File::open(&place).context(saying)?);
        let (format, access) = (ImageFormat::Qcow2, Access::ReadOnly);
        let serve = Operation::ImageServe { image, format, access, snapshot: Some(snapshot.clone()) };
        self.gate.perform(&Actor::Operator, self.ledger, serve, vec![folder])?;
        let until = Instant::now() + PATIENCE;
        loop {
            match socket::connect_in(&place, "image.sock") {
                Ok(socket) => return Ok(Way::Served { socket, export: IMAGE_EXPORT.to_owned() }),
                Err(error) if Instant::now() > until => return Err(error).context(saying),
                // It makes its socket once it has read the image.
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// A volume for this process to write, whatever it holds; other hosts keep off meanwhile.
    pub(super) fn write(&mut self, volume: &VolumeRef) -> Result<Way> {
        let mut pool = Pool::open(self.gate, &volume.pool)?;
        pool.same_storage()?;
        let holder = hold::take(self.gate, &mut pool, volume, &hold_as()?)?;
        match pool.side(&volume.volume, AttachAccess::Exclusive)? {
            Side::Image { image, format } => self.image(image, format, Access::ReadWrite),
            Side::Served { .. } => {
                let export = self.serve(&mut pool, volume, AttachAccess::Exclusive, Some(holder))?;
                self.served(export)
            }
        }
    }

    fn served(&mut self, export: String) -> Result<Way> {
        let socket =
            self.connections.pop().ok_or_else(|| Failure::other("what is served came without its connection"))?;
        Ok(Way::Served { socket: UnixStream::from(socket), export })
    }

    /// A raw image as it lies; any other by way of QEMU.
    fn image(&mut self, image: ImageRef, format: ImageFormat, access: Access) -> Result<Way> {
        match format {
            ImageFormat::Raw => {
                let open = Operation::ImageOpen { image, format, access };
                let done = self.gate.perform(&Actor::Operator, self.ledger, open, Vec::new())?;
                let image = done.descriptors.into_iter().next();
                Ok(Way::File(File::from(image.ok_or_else(|| Failure::other("an image came without itself"))?)))
            }
            ImageFormat::Qcow2 => {
                let saying = || format!("cannot speak with what serves the image {}", image.path);
                let listener = OwnedFd::from(socket::listen_in(self.folder, "image.sock").context(saying)?);
                let serve = Operation::ImageServe { image: image.clone(), format, access, snapshot: None };
                self.gate.perform(&Actor::Operator, self.ledger, serve, vec![listener])?;
                let socket = socket::connect_in(self.folder, "image.sock").context(saying)?;
                Ok(Way::Served { socket, export: IMAGE_EXPORT.to_owned() })
            }
        }
    }

    /// Gives the name of the export.
    fn serve(
        &mut self,
        pool: &mut Pool,
        volume: &VolumeRef,
        access: AttachAccess,
        holder: Option<Holder>,
    ) -> Result<String> {
        let saying = || format!("cannot speak with what serves volume {volume}");
        let name = format!("{}.sock", self.served.len());
        let listener = socket::listen_in(self.folder, &name).context(saying)?;
        let generation = holder.as_ref().map_or(0, |holder| holder.generation);
        let export = Served { volume: volume.volume.clone(), generation }.export();
        let service = Service { volume: volume.volume.clone(), access, holder, generation };
        let (tell, heard) = mpsc::channel();
        let tell = move |word| {
            // Nobody listens any more once the copy is over.
            let _ = tell.send(word);
        };
        let serving = pool.serve(self.ledger, service, OwnedFd::from(listener), PATIENCE, tell)?;
        self.served.push((serving, heard));
        self.connections.push(OwnedFd::from(socket::connect_in(self.folder, &name).context(saying)?));
        Ok(export)
    }

    pub(super) fn copy(&mut self, from: DiskSource, to: DiskTarget) -> Result<()> {
        let connections = std::mem::take(&mut self.connections);
        self.gate.perform(&Actor::Operator, self.ledger, Operation::DiskCopy { from, to }, connections).map(drop)
    }

    /// What was served is let go of, with all that was written on stable storage.
    pub(super) fn close(self) -> Result<()> {
        for (serving, heard) in &self.served {
            serving.close(PATIENCE)?;
            for word in heard.try_iter() {
                match word {
                    Heard::Ended(Err(failure)) | Heard::Failed(failure) => {
                        return Err(failure.while_doing("what was copied may not be whole"));
                    }
                    Heard::Fenced(other) => {
                        return Err(Failure::conflict(format!("{other} has taken the volume meanwhile")));
                    }
                    Heard::Ended(Ok(())) | Heard::Resized(_) | Heard::Degraded(_) | Heard::Restored => {}
                }
            }
        }
        let serves =
            |operation: &Operation| matches!(operation, Operation::ServingStart { .. } | Operation::ImageServe { .. });
        self.gate.undo_where(self.ledger, serves).map_err(|mut failures| failures.remove(0))
    }
}
