//! State files that survive a crash, and the locks of the objects that they belong to.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use crate::error::{Context, Failure, Kind, Result};

/// How often a lock that another holds is tried again. flock(2) has no deadline of its own.
const LOCK_TRY: Duration = Duration::from_millis(5);

/// Sixteen hexadecimal digits that no one can foresee, for a name that must be new.
pub fn random_name() -> io::Result<String> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

/// Writes `bytes` as the whole file `path` (mode 0600): a reader sees the old file or the new one, and after this
/// returns the new one outlives a power cut. The folder must exist.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_in_steps(path, bytes, |_| Ok(())).map_err(Unwritten::into_failure)
}

/// The same for a file that may be somebody's own: one that is there keeps its mode, its owner and its group.
pub fn rewrite(path: &Path, bytes: &[u8]) -> Result<()> {
    rewrite_in_steps(path, bytes, |_| Ok(()))
}

/// As [`rewrite`]; `passed` is called after each step.
pub fn rewrite_in_steps(path: &Path, bytes: &[u8], passed: impl Fn(Written) -> Result<()>) -> Result<()> {
    let saying = || format!("cannot write {}", path.display());
    let like = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => Some(other.context(saying)?),
    };
    let looks = |file: &File| {
        let Some(like) = like else { return Ok(()) };
        // The owner first: whoever changes it loses bits of the mode.
        fchown(file, Some(like.uid()), Some(like.gid()))?;
        file.set_permissions(like.permissions())
    };
    replace(path, bytes, looks, passed).map_err(Unwritten::into_failure)
}

/// The same for a file of whoever writes it, with that mode.
pub fn write_with_mode(path: &Path, bytes: &[u8], mode: Permissions) -> Result<()> {
    replace(path, bytes, |file| file.set_permissions(mode), |_| Ok(())).map_err(Unwritten::into_failure)
}

/// How far a write has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The new file is on disk, under a name that is none.
    Aside,
    /// It has its name, which a power cut may take from it again.
    Named,
    /// It is there for good.
    Synced,
}

/// What a write that failed has left.
#[derive(Debug)]
pub enum Unwritten {
    /// The old file, for good.
    Surely(Failure),
    /// A power cut may show the old file or the new one, and until then the new one is seen.
    Unsure(Failure),
}

impl Unwritten {
    fn into_failure(self) -> Failure {
        match self {
            Unwritten::Surely(failure) | Unwritten::Unsure(failure) => failure,
        }
    }
}

/// As [`write`], for whoever has to know what a failure has left. `passed` is called after each step.
pub fn write_in_steps(
    path: &Path,
    bytes: &[u8],
    passed: impl Fn(Written) -> Result<()>,
) -> std::result::Result<(), Unwritten> {
    replace(path, bytes, |_| Ok(()), passed)
}

/// `looks` gives the new file its mode and owner, before anything is in it.
fn replace(
    path: &Path,
    bytes: &[u8],
    looks: impl FnOnce(&File) -> io::Result<()>,
    passed: impl Fn(Written) -> Result<()>,
) -> std::result::Result<(), Unwritten> {
    let saying = || format!("cannot write {}", path.display());
    let (aside, folder) = write_aside(path, bytes, looks).context(saying).map_err(Unwritten::Surely)?;
    let named = passed(Written::Aside).and_then(|()| std::fs::rename(&aside, path).context(saying));
    if let Err(failure) = named {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&aside);
        return Err(Unwritten::Surely(failure));
    }
    passed(Written::Named)
        .and_then(|()| sync_folder(folder).context(saying))
        .and_then(|()| passed(Written::Synced))
        .map_err(Unwritten::Unsure)
}

/// A synced file beside `path`, and the folder of both.
fn write_aside<'p>(
    path: &'p Path,
    bytes: &[u8],
    looks: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<(PathBuf, &'p Path)> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    // Of a name alone it is the one that this process is in.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let aside = folder.join(format!(".{name}.{}", random_name()?));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    let done = looks(&file).and_then(|()| file.write_all(bytes)).and_then(|()| file.sync_all());
    if done.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    done.map(|()| (aside, folder))
}

/// Where a file that cannot be read is kept for a look at it: `NAME.damaged`, beside it.
pub fn damaged(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".damaged");
    path.with_file_name(name)
}

/// Removes what a writer that was killed left in `folder`: files under the names that [`write`] gives them until they
/// are whole. The caller knows that nobody writes there now. Gives how many those were.
pub fn sweep(folder: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let parts = name.to_str().and_then(|name| name.strip_prefix('.')?.rsplit_once('.'));
        if parts.is_some_and(|(_, random)| random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            std::fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// The names of what is in a folder, in no order: none where there is no folder, and none that is no UTF-8.
pub fn names(folder: &Path) -> Result<Vec<String>> {
    let saying = || format!("cannot list {}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.context(saying)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.context(saying)?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Makes the names in `folder` as durable as the files are.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The lock of one object, held until this value is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock at `path` (made where absent; its folder must exist), waiting at most `deadline`.
///
/// # Errors
/// `Conflict` where it is held and `deadline` is zero, `TimedOut` where it is still held at the end.
pub fn lock(path: &Path, deadline: Duration) -> Result<Lock> {
    let saying = || format!("cannot lock {}", path.display());
    let start = Instant::now();
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .context(saying)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // The holder before us may have removed the file with its object: then this lock guards nothing.
            Ok(()) if same_file(&file, path).context(saying)? => return Ok(Lock { _file: file }),
            Ok(()) | Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < deadline => std::thread::sleep(LOCK_TRY),
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(busy(path, deadline)),
            Err(error) => return Err(error).context(saying),
        }
    }
}

/// Whether somebody holds the lock at `path`. Whoever looks shares the lock for an instant: others who look do not take that
/// for a holder, but [`lock`] does.
///
/// # Errors
/// Where the file cannot be opened; one that is absent is held by nobody.
pub fn is_locked(path: &Path) -> Result<bool> {
    let saying = || format!("cannot look at the lock {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.context(saying)?,
    };
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(false),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(true),
            Err(error) => return Err(error).context(saying),
        }
    }
}

/// Whether `file` is still what stands at `path`.
pub fn same_file(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn busy(path: &Path, deadline: Duration) -> Failure {
    let object: PathBuf = path.parent().unwrap_or(path).iter().rev().take(2).collect::<Vec<_>>().iter().rev().collect();
    let (kind, waited) = if deadline.is_zero() {
        (Kind::Conflict, String::new())
    } else {
        (Kind::TimedOut, format!("; waited {:.1} s", deadline.as_secs_f32()))
    };
    Failure::new(kind, format!("{} is busy: another command is changing it{waited}", object.display()))
        .hint("try again when that command has ended; `fuser -v` on the lock file names it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.toml");
        write(&path, b"a long first text").unwrap();
        write(&path, b"short").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let missing = write(&folder.path().join("none/pool.toml"), b"").unwrap_err();
        assert!(missing.message.contains("none/pool.toml"));
    }

    #[test]
    fn a_file_that_is_rewritten_keeps_its_mode_and_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        rewrite(&path, b"new").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let root = rustix::process::geteuid().is_root();
        if root {
            std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
        }
        let before = std::fs::metadata(&path).unwrap();
        rewrite(&path, b"newer").unwrap();
        let after = std::fs::metadata(&path).unwrap();
        assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
        assert_eq!(std::fs::read(&path).unwrap(), b"newer");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_says_whether_the_old_file_is_there_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.toml");
        write(&path, b"old").unwrap();
        for (step, surely) in [(Written::Aside, true), (Written::Named, false), (Written::Synced, false)] {
            let fail = |at| if at == step { Err(Failure::other("a test")) } else { Ok(()) };
            let unwritten = write_in_steps(&path, b"new", fail).unwrap_err();
            assert_eq!(matches!(unwritten, Unwritten::Surely(_)), surely, "{step:?}");
            assert_eq!(std::fs::read(&path).unwrap(), if surely { b"old" } else { b"new" });
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_held_lock_is_a_conflict_at_once_and_a_time_out_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path, Duration::ZERO).unwrap();
        assert_eq!(lock(&path, Duration::ZERO).unwrap_err().kind, Kind::Conflict);
        assert_eq!(lock(&path, Duration::from_millis(20)).unwrap_err().kind, Kind::TimedOut);
        drop(held);
        // A program that another test starts has it until it begins.
        lock(&path, Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn whoever_looks_at_a_lock_sees_its_holder_and_no_other_looker() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!is_locked(&path).unwrap(), "there is none");
        let held = lock(&path, Duration::ZERO).unwrap();
        assert!(is_locked(&path).unwrap());
        drop(held);
        drop(lock(&path, Duration::from_secs(10)).unwrap());
        let looker = File::open(&path).unwrap();
        rustix::fs::flock(&looker, FlockOperation::NonBlockingLockShared).unwrap();
        assert!(!is_locked(&path).unwrap());
        assert_eq!(lock(&path, Duration::ZERO).unwrap_err().kind, Kind::Conflict);
    }

    #[test]
    fn a_lock_that_is_let_go_passes_to_who_waits_even_where_its_file_was_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path, Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lock(&path, Duration::from_secs(10)).unwrap());
            std::fs::remove_file(&path).unwrap();
            drop(held);
            let got = waiting.join().unwrap();
            assert_eq!(lock(&path, Duration::ZERO).unwrap_err().kind, Kind::Conflict);
            drop(got);
        });
    }
}
