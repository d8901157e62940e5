//! Landlock (landlock(7)): from here on, this process opens nothing but what lies below the directories it was handed.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use crate::types::Access;

/// What a plugin may do in a directory that it has for reading.
fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// What a plugin may do in a directory that it has for writing: plain files and folders. Devices, sockets, pipes and
/// symbolic links are not for plugins to make, and nothing is for them to execute.
fn writing() -> BitFlags<AccessFs> {
    reading()
        | AccessFs::WriteFile
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::Refer
        | AccessFs::Truncate
}

/// Restricts the calling thread and those it starts later. Rights that the running kernel does not know are left
/// out, beyond those of the first version of Landlock (Linux 5.13), without which this fails.
///
/// # Errors
/// What is missing, for an operator.
pub fn restrict(directories: &[(BorrowedFd<'_>, Access)]) -> Result<(), String> {
    let built = || -> Result<RulesetStatus, RulesetError> {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(ABI::V6))?
            .handle_access(AccessNet::from_all(ABI::V6))?
            .scope(Scope::from_all(ABI::V6))?
            .create()?;
        for (directory, access) in directories {
            let rights = match access {
                Access::ReadOnly => reading(),
                Access::ReadWrite => writing(),
            };
            ruleset = ruleset.add_rule(PathBeneath::new(directory, rights))?;
        }
        Ok(ruleset.restrict_self()?.ruleset)
    };
    match built() {
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Ok(()),
        Ok(RulesetStatus::NotEnforced) => Err("this kernel has no Landlock (Linux 5.13 or later has it)".into()),
        Err(error) => Err(format!("Landlock does not work here: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, create_dir, read, write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn only_the_handed_directories_open_and_only_as_they_were_granted() {
        let folder = tempfile::tempdir().unwrap();
        let [rw, ro, other] = ["rw", "ro", "other"].map(|name| folder.path().join(name));
        for path in [&rw, &ro, &other] {
            create_dir(path).unwrap();
            write(path.join("file"), "x").unwrap();
        }
        // Landlock binds a thread and those it starts: the other tests of this process stay free.
        let in_thread = std::thread::spawn(move || {
            let (writable, readable) = (File::open(&rw).unwrap(), File::open(&ro).unwrap());
            let rules = [(writable.as_fd(), Access::ReadWrite), (readable.as_fd(), Access::ReadOnly)];
            rustix::thread::set_no_new_privs(true).unwrap();
            restrict(&rules).unwrap();
            assert!(write(rw.join("new"), "y").is_ok() && read(rw.join("file")).is_ok());
            assert!(create_dir(rw.join("folder")).is_ok());
            assert!(std::os::unix::fs::symlink("/etc/passwd", rw.join("link")).is_err());
            assert!(read(ro.join("file")).is_ok());
            assert!(write(ro.join("file"), "y").is_err() && write(ro.join("new"), "y").is_err());
            assert!(std::fs::rename(ro.join("file"), rw.join("moved")).is_err());
            for path in [&other.join("file"), std::path::Path::new("/etc/passwd"), "/proc/self/maps".as_ref()] {
                let error = read(path).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{}", path.display());
            }
        });
        in_thread.join().unwrap();
    }
}
