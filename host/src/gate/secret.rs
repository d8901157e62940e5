//! Secrets: one file each below `ROOT/secrets`, mode 0600, in a directory of mode 0700. Their bytes go from here to who
//! may have them in a nameless file in memory, whose descriptor travels; no word, frame or line ever holds them.

use std::io::{ErrorKind, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::process::DumpableBehavior;

use crate::error::{Context, Failure, Result};
use crate::layout::Layout;
use crate::sys::durable;
use crate::types::{GrantName, Secret};

/// The names of all secrets, in order.
pub fn names(layout: &Layout) -> Result<Vec<GrantName>> {
    // What is no name is half written, or someone else's.
    let names = durable::names(&layout.secrets())?;
    let mut names: Vec<GrantName> = names.iter().filter_map(|name| name.parse().ok()).collect();
    names.sort();
    Ok(names)
}

/// Keeps the bytes under `name`, in place of what was there.
pub(super) fn write(layout: &Layout, name: &GrantName, secret: &Secret) -> Result<()> {
    let folder = layout.secrets();
    let saying = || format!("cannot make the folder {}", folder.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).context(saying)?;
    // What a command that was killed has half written is a secret too.
    durable::sweep(&folder).context(|| format!("cannot tidy {}", folder.display()))?;
    durable::write(&layout.secret(name), secret.reveal())
}

/// # Errors
/// `NotFound` where there is none of that name, `Denied` where others could read it.
pub(super) fn read(layout: &Layout, name: &GrantName) -> Result<Secret> {
    let path = layout.secret(name);
    let saying = || format!("cannot read the secret {name}");
    let file = match std::fs::File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(absent(name)),
        other => other.context(saying)?,
    };
    let mode = file.metadata().context(saying)?.mode();
    if mode & 0o077 != 0 {
        return Err(Failure::denied(format!("the secret {name} is not one: its mode is {:04o}", mode & 0o7777))
            .hint(format!("see who read it, then chmod 0600 {}", path.display())));
    }
    whole(&file).context(saying)
}

/// One that is not there is already deleted: `false`.
pub(super) fn remove(layout: &Layout, name: &GrantName) -> Result<bool> {
    let saying = || format!("cannot delete the secret {name}");
    match std::fs::remove_file(layout.secret(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        other => other.context(saying)?,
    }
    durable::sync_folder(&layout.secrets()).context(saying).map(|()| true)
}

/// This process is not to be looked into, and leaves no core dump: secrets are in its memory from here on.
pub fn stay_private() -> Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context(|| "cannot keep this process from being looked into".to_owned())
}

pub fn absent(name: &GrantName) -> Failure {
    Failure::not_found(format!("there is no secret {name}")).hint(format!("store it: fief secret set {name}"))
}

/// A sealed file in memory that holds the bytes, to hand over.
pub fn hand_over(secret: &Secret) -> Result<OwnedFd> {
    let saying = || "cannot hand over a secret".to_owned();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = std::fs::File::from(rustix::fs::memfd_create("fief-secret", flags).context(saying)?);
    file.write_all(secret.reveal()).and_then(|()| file.rewind()).context(saying)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE).context(saying)?;
    Ok(file.into())
}

/// The bytes out of what [`hand_over`] made.
pub fn take(descriptor: impl AsFd) -> Result<Secret> {
    let saying = || "cannot take a secret".to_owned();
    let file = std::fs::File::from(descriptor.as_fd().try_clone_to_owned().context(saying)?);
    whole(&file).context(saying)
}

/// Read into a buffer that does not move, so that no copy of a part is left behind.
fn whole(file: &std::fs::File) -> std::io::Result<Secret> {
    let mut bytes = vec![0; Secret::MAX + 1];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    let secret = Secret::new(bytes);
    match length {
        0 => Err(std::io::Error::other("it is empty")),
        1..=Secret::MAX => Ok(secret),
        _ => Err(std::io::Error::other(format!("it is longer than {} bytes", Secret::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_secret_is_kept_where_nobody_else_reads_it_and_handed_over_whole() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let name: GrantName = "san".parse().unwrap();
        assert_eq!(read(&layout, &name).unwrap_err().kind, Kind::NotFound);
        assert!(!remove(&layout, &name).unwrap() && names(&layout).unwrap().is_empty());
        for bytes in [b"one".to_vec(), b"\0two\n\xff".to_vec(), vec![7; Secret::MAX]] {
            write(&layout, &name, &Secret::new(bytes.clone())).unwrap();
            let secret = read(&layout, &name).unwrap();
            assert_eq!(secret.reveal(), bytes);
            let descriptor = hand_over(&secret).unwrap();
            assert_eq!(take(&descriptor).unwrap().reveal(), bytes);
            assert_eq!(take(&descriptor).unwrap().reveal(), bytes, "it can be taken again");
            let mut read = Vec::new();
            std::io::Read::read_to_end(&mut std::fs::File::from(descriptor), &mut read).unwrap();
            assert_eq!(read, bytes, "whoever gets it begins at the first byte");
        }
        let mode = |path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(layout.secrets()), mode(layout.secret(&name))), (0o700, 0o600));
        assert_eq!(names(&layout).unwrap(), std::slice::from_ref(&name));

        std::fs::set_permissions(layout.secret(&name), std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(read(&layout, &name).unwrap_err().kind, Kind::Denied);
        assert!(remove(&layout, &name).unwrap());
    }

    #[test]
    fn what_a_killed_command_half_wrote_goes_with_the_next() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        std::fs::create_dir(layout.secrets()).unwrap();
        std::fs::write(layout.secrets().join(".san.0123456789abcdef"), "half").unwrap();
        assert!(names(&layout).unwrap().is_empty());
        write(&layout, &"other".parse().unwrap(), &Secret::new(b"x".to_vec())).unwrap();
        assert_eq!(std::fs::read_dir(layout.secrets()).unwrap().count(), 1);
    }
}
