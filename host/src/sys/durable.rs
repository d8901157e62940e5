//! Files that survive: written aside, synced, renamed, the folder synced; and locks on objects.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Context, Failure, Kind, Result};

/// Replaces `path` by a file that holds `bytes` (mode 0600). After a crash the file is the old one or the new one, whole.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let saying = || format!("cannot write {}", path.display());
    let folder = path.parent().ok_or_else(|| Failure::other(saying()))?;
    let mut aside = path.file_name().unwrap_or_default().to_owned();
    aside.push(format!(".new-{}", std::process::id()));
    let aside = folder.join(aside);
    let written = (|| {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // The error that matters is the one above; a file that could not be written often cannot be removed either.
        let _ = std::fs::remove_file(&aside);
    }
    written.context(saying)
}

/// A lock on an object, held until it is dropped or the process ends (flock(2)).
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock file at `path`, made where it is absent, waiting for at most `patience`.
///
/// # Errors
/// `TimedOut` where another process holds it for longer; `what` names the object in the message.
pub fn lock(path: &Path, what: &str, patience: Duration) -> Result<Lock> {
    let until = Instant::now() + patience;
    loop {
        if let Some(lock) = try_lock(path)? {
            return Ok(lock);
        }
        if Instant::now() >= until {
            return Err(Failure::new(Kind::TimedOut, format!("{what} is busy: another fief command is working on it"))
                .hint("try again once that command has ended"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Takes the lock if nobody holds it.
pub fn try_lock(path: &Path) -> Result<Option<Lock>> {
    let saying = || format!("cannot open the lock {}", path.display());
    let file =
        File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).context(saying)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).context(saying),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_leaves_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_held_lock_is_refused_and_comes_free_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = try_lock(&path).unwrap().unwrap();
        assert!(try_lock(&path).unwrap().is_none());
        assert_eq!(lock(&path, "domain node1", Duration::ZERO).unwrap_err().kind, Kind::TimedOut);
        drop(held);
        assert!(try_lock(&path).unwrap().is_some());
    }
}
