//! Granted directories: opened for a sandbox and for the image operations, and made where policy names one that is
//! not there yet.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, OFlags, Uid};

use super::{Done, Gate, Operation, Outcome};
use crate::error::{Context, Failure, Result};
use crate::gate::{self, identity};
use crate::types::{Access, ByteSize, GrantName, PluginId};

/// What others may do with a directory that fief makes: enter and list it. The images inside are closed to them.
const DIRECTORY_MODE: u32 = 0o755;

/// A granted directory, open.
pub(super) struct Granted {
    pub directory: OwnedFd,
    pub path: PathBuf,
    /// The plugin's user; none where fief is not root.
    pub owner: Option<u32>,
}

pub(super) fn act(gate: &Gate, operation: &Operation) -> Result<Done> {
    match operation {
        Operation::DirectoryOpen { plugin, directory, access: _ } => {
            // A directory is opened for reading either way; whether its files may be written is the sandbox's
            // preopen rights and the owner's, and policy was asked about both.
            let granted = granted(gate, plugin, directory)?;
            Ok(Done { outcome: Outcome::Directory, descriptors: vec![granted.directory] })
        }
        Operation::DirectorySpace { plugin, directory } => {
            let granted = granted(gate, plugin, directory)?;
            let (capacity, available) =
                space(&granted.directory).context(|| format!("cannot measure {}", granted.path.display()))?;
            Ok(Done { outcome: Outcome::Space { capacity, available }, descriptors: Vec::new() })
        }
        other => Err(Failure::other(format!("not an operation on a directory: {other:?}"))),
    }
}

/// Opens what policy says `name` is for `plugin`.
pub(super) fn granted(gate: &Gate, plugin: &PluginId, name: &GrantName) -> Result<Granted> {
    let grants = gate.policy().plugins.get(plugin);
    let grant = grants.and_then(|grants| grants.directories.get(name)).ok_or_else(|| {
        Failure::denied(format!("policy grants plugin {plugin} no directory {name:?}", name = name.as_str()))
    })?;
    let owner = identity::plugin_uid(gate.layout(), gate.policy(), plugin)?;
    let directory = match open(&grant.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if gate.mode() == gate::Mode::DryRun {
                return Err(Failure::not_found(format!("{} does not exist yet", grant.path.display()))
                    .hint("without --dry-run it is made; or make it by hand"));
            }
            make(&grant.path, owner.filter(|_| grant.access == Access::ReadWrite))?;
            open(&grant.path)
        }
        other => other,
    };
    let directory = directory.map_err(|error| {
        Failure::new(
            if error.kind() == io::ErrorKind::PermissionDenied {
                crate::error::Kind::Denied
            } else {
                crate::error::Kind::Other
            },
            format!("cannot open the directory {:?} of plugin {plugin}", name.as_str()),
        )
        .because(error)
        .hint(format!(
            "policy.toml says that it is {}; it has to be a directory, not a symbolic link",
            grant.path.display()
        ))
    })?;
    if let Some(uid) = owner {
        refuse_closed(&directory, &grant.path, plugin, uid)?;
    }
    Ok(Granted { directory, path: grant.path.clone(), owner })
}

/// A directory that the plugin's user may not enter would fail it with words that say nothing of why.
fn refuse_closed(directory: &OwnedFd, path: &Path, plugin: &PluginId, uid: u32) -> Result<()> {
    let facts = rustix::fs::fstat(directory).context(|| format!("cannot look at {}", path.display()))?;
    // An access control list (acl(5)) may let in whom the mode does not.
    let listed = rustix::fs::fgetxattr(directory, "system.posix_acl_access", &mut [0_u8; 0]).is_ok();
    if listed || may_enter(facts.st_mode, facts.st_uid, facts.st_gid, uid) {
        return Ok(());
    }
    let (path, mode) = (path.display(), facts.st_mode & 0o7777);
    Err(Failure::denied(format!("plugin {plugin} may not enter {path}"))
        .because(io::Error::other(format!("it has mode {mode:04o} and is of user {}", facts.st_uid)))
        .hint(format!("the plugin runs as user {uid}: chmod o+rx {path}, or chown {uid} {path}")))
}

/// Whether mode and owner let a user, whose group has the user's number, list a directory and reach what is in it.
fn may_enter(mode: u32, owner: u32, group: u32, uid: u32) -> bool {
    let bits = match uid {
        uid if uid == owner => mode >> 6,
        uid if uid == group => mode >> 3,
        _ => mode,
    };
    bits & 0o5 == 0o5
}

/// Opens a directory by its absolute path. The last component may not be a link; those above are the operator's.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    if !path.is_absolute() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not absolute", path.display())));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::LOOP => io::Error::other(format!("{} is a symbolic link", path.display())),
        other => other.into(),
    })
}

/// Makes a directory that policy names; with `owner` it is the plugin's to write in.
fn make(path: &Path, owner: Option<u32>) -> Result<()> {
    let saying = || format!("cannot make the directory {}", path.display());
    match std::fs::create_dir(path) {
        // Another command was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::not_found(saying())
                .because(error)
                .hint(format!("make its parent first: mkdir -p {}", path.parent().unwrap_or(path).display())));
        }
        other => other.context(saying)?,
    }
    let directory = open(path).context(saying)?;
    rustix::fs::fchmod(&directory, Mode::from_raw_mode(DIRECTORY_MODE)).context(saying)?;
    if let Some(uid) = owner {
        rustix::fs::fchown(&directory, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid))).context(saying)?;
    }
    match path.parent() {
        Some(above) => File::open(above).and_then(|folder| folder.sync_all()).context(saying),
        None => Ok(()),
    }
}

/// Size of the file system that holds `file`, and what an ordinary user may still take of it.
pub(super) fn space(file: impl std::os::fd::AsFd) -> io::Result<(ByteSize, ByteSize)> {
    let stat = rustix::fs::fstatvfs(file)?;
    let bytes = |blocks: u64| ByteSize::from_bytes(blocks.saturating_mul(stat.f_frsize).min(i64::MAX as u64));
    Ok((bytes(stat.f_blocks), bytes(stat.f_bavail)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::sync::Arc;

    use super::*;
    use crate::config::policy::{DirectoryGrant, PluginGrants, Policy};
    use crate::error::Kind;
    use crate::gate::{Actor, Ledger, Mode as GateMode};
    use crate::layout::Layout;

    fn gate(root: &Path, directory: PathBuf, mode: GateMode) -> Gate {
        let grant = DirectoryGrant { path: directory, access: Access::ReadWrite };
        let grants =
            PluginGrants { directories: [("images".parse().unwrap(), grant)].into(), ..PluginGrants::default() };
        let policy = Policy { plugins: [("p".parse().unwrap(), grants)].into(), ..Policy::default() };
        Gate::new(Layout::new(root), Arc::new(policy), mode)
    }

    fn opened(gate: &Gate) -> Result<Vec<OwnedFd>> {
        let operation = Operation::DirectoryOpen {
            plugin: "p".parse().unwrap(),
            directory: "images".parse().unwrap(),
            access: Access::ReadWrite,
        };
        let actor = Actor::Plugin("p".parse().unwrap());
        gate.perform(&actor, &mut Ledger::volatile(), operation, Vec::new()).map(|done| done.descriptors)
    }

    #[test]
    fn who_may_enter_is_said_by_the_bits_of_the_nearest_kind() {
        assert!(may_enter(0o755, 0, 0, 7) && may_enter(0o700, 7, 0, 7) && may_enter(0o750, 0, 7, 7));
        assert!(!may_enter(0o700, 0, 0, 7) && !may_enter(0o754, 0, 0, 7) && !may_enter(0o751, 0, 0, 7));
        assert!(!may_enter(0o077, 7, 7, 7), "the owner's own bits count for the owner");
    }

    #[test]
    fn a_granted_directory_that_is_missing_is_made_for_its_plugin() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("images");
        let shown = opened(&gate(root.path(), path.clone(), GateMode::DryRun)).unwrap_err();
        assert_eq!(shown.kind, Kind::NotFound);
        assert!(!path.exists());
        for _ in 0..2 {
            let gate = gate(root.path(), path.clone(), GateMode::Perform);
            let descriptors = opened(&gate).unwrap();
            let metadata = File::from(descriptors.into_iter().next().unwrap()).metadata().unwrap();
            assert_eq!(metadata.ino(), std::fs::metadata(&path).unwrap().ino());
            assert_eq!(metadata.mode() & 0o7777, DIRECTORY_MODE);
            let owner = identity::plugin_uid(gate.layout(), gate.policy(), &"p".parse().unwrap()).unwrap();
            assert_eq!(metadata.uid(), owner.unwrap_or_else(|| rustix::process::geteuid().as_raw()));
        }
    }

    #[test]
    fn what_is_no_directory_of_the_operators_is_refused() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("real")).unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        symlink("real", root.path().join("link")).unwrap();
        for name in ["file", "link", "no/parent"] {
            let failure = opened(&gate(root.path(), root.path().join(name), GateMode::Perform)).unwrap_err();
            assert!(failure.hint.is_some(), "{name}: {failure}");
        }
        let failure = opened(&gate(root.path(), PathBuf::from("real"), GateMode::Perform)).unwrap_err();
        assert!(failure.to_string().contains("absolute"), "{failure}");
        assert!(!root.path().join("no").exists());
    }

    #[test]
    fn space_is_that_of_the_file_system() {
        let root = tempfile::tempdir().unwrap();
        let (capacity, available) = space(File::open(root.path()).unwrap()).unwrap();
        assert!(available <= capacity && capacity.bytes() > 0);
    }
}
