//! The sockets at which a domain's disks are served to its hypervisor: in a folder that only it comes to, each open to its
//! user alone.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::process::{SERVED_FOLDER, USERS, own_user};
use super::{Done, Gate, Operation, Outcome};
use crate::error::{Context, Failure, Result};
use crate::sys::socket::listen_in;
use crate::types::DomainName;

fn place(gate: &Gate, domain: &DomainName, disk: usize) -> (PathBuf, String) {
    (gate.layout().domain(domain).join(SERVED_FOLDER), format!("disk{disk}.sock"))
}

pub(super) fn act(gate: &Gate, operation: &Operation) -> Result<Done> {
    let Operation::ServedListen { domain, id, disk, .. } = operation else {
        return Err(Failure::other(format!("not an operation on served disks: {operation:?}")));
    };
    let (folder, name) = place(gate, domain, *disk);
    let path = folder.join(&name);
    let saying = || format!("cannot listen on {}", path.display());
    make(&folder).context(saying)?;
    let listener = listen_in(&folder, &name).context(saying)?;
    if rustix::process::geteuid().is_root() {
        let user = own_user(gate, id % USERS)?;
        std::os::unix::fs::lchown(&path, Some(user), Some(user)).context(saying)?;
    }
    Ok(Done { outcome: Outcome::Set, descriptors: vec![OwnedFd::from(listener)] })
}

/// Whatever the umask: the hypervisor's user has to get through.
fn make(folder: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711))
}

/// The folder goes with the last socket, or with the hypervisor.
pub(super) fn undo(gate: &Gate, operation: &Operation) -> Result<()> {
    let Operation::ServedListen { domain, disk, .. } = operation else { return Ok(()) };
    let (folder, name) = place(gate, domain, *disk);
    let path = folder.join(name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => {
            let _ = std::fs::remove_dir(&folder);
            Ok(())
        }
    }
}
