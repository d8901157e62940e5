//! The sockets at which a domain's disks are served to its hypervisor, and its memory taken from it: in a folder that only it
//! comes to, each open to its user alone.
//!
//! The hypervisor has no way there but the folder's descriptor: the domain's own folder is closed to it.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::process::{USERS, own_user};
use super::{Done, Gate, Operation, Outcome};
use crate::error::{Context, Failure, Result};
use crate::sys::socket::listen_in;
use crate::types::DomainName;

/// In the domain's folder.
const FOLDER: &str = "served";

fn folder(gate: &Gate, domain: &DomainName) -> PathBuf {
    gate.layout().domain(domain).join(FOLDER)
}

/// Beside them: where a hypervisor connects to that sends a guest's memory by several connections, and where one listens that
/// takes it. As the monitor says it (`hypervisor/qemu/qmp/live.rs`).
const MEMORY: &str = "memory.sock";
const INCOMING: &str = "incoming";

/// As the hypervisor's arguments have it (`hypervisor/qemu/arguments/disk.rs`).
fn socket(disk: usize, moved: bool) -> String {
    format!("disk{disk}{}.sock", if moved { "-moved" } else { "" })
}

pub(super) fn act(gate: &Gate, operation: &Operation) -> Result<Done> {
    match operation {
        Operation::ServedFolder { domain } => {
            let folder = folder(gate, domain);
            let made = make(&folder, 0o711).context(|| format!("cannot make {}", folder.display()))?;
            Ok(Done { outcome: Outcome::Set, descriptors: vec![made] })
        }
        Operation::ServedListen { domain, id, disk, moved, .. } => {
            let (folder, name) = (folder(gate, domain), socket(*disk, *moved));
            let path = folder.join(&name);
            let saying = || format!("cannot listen on {}", path.display());
            let listener = listen_in(&folder, &name).context(saying)?;
            give(gate, &path, *id)?;
            Ok(Done { outcome: Outcome::Set, descriptors: vec![OwnedFd::from(listener)] })
        }
        Operation::MemoryListen { domain, id } => {
            let folder = folder(gate, domain);
            let path = folder.join(MEMORY);
            let listener = listen_in(&folder, MEMORY).context(|| format!("cannot listen on {}", path.display()))?;
            give(gate, &path, *id)?;
            Ok(Done { outcome: Outcome::Set, descriptors: vec![OwnedFd::from(listener)] })
        }
        Operation::MemoryFolder { domain, id } => {
            let path = folder(gate, domain).join(INCOMING);
            // Not with what an earlier attempt has left in it.
            remove(&path)?;
            let made = make(&path, 0o700).context(|| format!("cannot make {}", path.display()))?;
            give(gate, &path, *id)?;
            Ok(Done { outcome: Outcome::Set, descriptors: vec![made] })
        }
        other => Err(Failure::other(format!("not an operation on served disks: {other:?}"))),
    }
}

/// To the user of the hypervisor that has that number.
fn give(gate: &Gate, path: &Path, id: u32) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let user = own_user(gate, id % USERS)?;
    std::os::unix::fs::lchown(path, Some(user), Some(user)).context(|| format!("cannot give {} away", path.display()))
}

/// Whatever the umask: the hypervisor's user has to get through.
fn make(folder: &Path, mode: u32) -> std::io::Result<OwnedFd> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

/// The folder goes with all that is in it: it is undone after the hypervisor, and who listens there is none of its own.
pub(super) fn undo(gate: &Gate, operation: &Operation) -> Result<()> {
    match operation {
        Operation::ServedFolder { domain } => remove(&folder(gate, domain)),
        Operation::MemoryFolder { domain, .. } => remove(&folder(gate, domain).join(INCOMING)),
        Operation::ServedListen { domain, disk, moved, .. } => {
            let path = folder(gate, domain).join(socket(*disk, *moved));
            gone(std::fs::remove_file(&path), &path)
        }
        Operation::MemoryListen { domain, .. } => {
            let path = folder(gate, domain).join(MEMORY);
            gone(std::fs::remove_file(&path), &path)
        }
        _ => Ok(()),
    }
}

/// Whoever owns the folder may have put links there: none is followed (`remove_dir_all`).
fn remove(folder: &Path) -> Result<()> {
    gone(std::fs::remove_dir_all(folder), folder)
}

fn gone(removed: std::io::Result<()>, path: &Path) -> Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
