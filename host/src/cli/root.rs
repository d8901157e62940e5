//! The root directory, where all of fief's state lies. Whoever can write it commands what runs as root, so it is
//! looked at before anything in it is believed; it is made, for its owner alone, by the first verb that changes
//! something.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::error::{Context, Failure, Result};
use crate::layout::Layout;
use crate::sys::process;

const VARIABLE: &str = "FIEF_ROOT";
const CHOOSE: &str = "name another directory with --root DIR or FIEF_ROOT";

/// From `--root`, else `FIEF_ROOT`, else the default of this user.
pub(super) fn resolve(option: Option<PathBuf>) -> Result<Layout> {
    choose(option, std::env::var_os(VARIABLE), Layout::default_root())
}

fn choose(option: Option<PathBuf>, variable: Option<OsString>, default: Option<PathBuf>) -> Result<Layout> {
    if let Some(path) = option {
        let path = absolute(&path, "--root")?;
        return Ok(Layout::new(path));
    }
    if let Some(value) = variable {
        let path = PathBuf::from(value);
        if !path.is_absolute() {
            return Err(Failure::usage(format!(
                "{VARIABLE} is not an absolute path: {:?}",
                path.display().to_string()
            ))
            .hint(format!("set it as in {VARIABLE}=/srv/fief, or unset it")));
        }
        return Ok(Layout::new(absolute(&path, VARIABLE)?));
    }
    default.map(Layout::new).ok_or_else(|| {
        Failure::usage("there is no directory for fief's state: HOME is not set to an absolute path")
            .hint("name one with --root DIR or FIEF_ROOT")
    })
}

/// Without `.` and doubled slashes; `..` is refused, because what it leads to can change under a symbolic link.
fn absolute(path: &Path, from: &str) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(Failure::usage(format!("{from} is empty")).hint("give a directory, as in --root /srv/fief"));
    }
    if path.components().any(|component| component == std::path::Component::ParentDir) {
        return Err(Failure::usage(format!("{from} holds '..': {}", path.display())).hint("write the path without it"));
    }
    let path = std::path::absolute(path).context(|| format!("cannot make {} absolute", path.display()))?;
    if path.parent().is_none() {
        return Err(
            Failure::usage(format!("{from} is the root of the file system")).hint("give a directory of its own")
        );
    }
    Ok(path.components().collect())
}

/// Checks a root that is there; an absent one is well (and empty). From here on it may be written to, so this process
/// has to know what it writes down of itself.
///
/// # Errors
/// `Conflict` where it is no directory, a symbolic link, another user's, or open to other users.
pub(super) fn check(layout: &Layout) -> Result<()> {
    process::know_itself().context(|| "cannot read in /proc what this process is".into())?;
    match std::fs::symlink_metadata(layout.root()) {
        Ok(found) => {
            judge(layout.root(), &found)?;
            ancestors(layout.root())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(Failure::conflict(format!("{} lies below something that is no directory", layout.root().display()))
                .because(error)
                .hint(CHOOSE))
        }
        Err(error) => {
            Err(error).context(|| format!("cannot look at {}", layout.root().display())).map_err(|f| f.hint(CHOOSE))
        }
    }
}

fn judge(path: &Path, found: &std::fs::Metadata) -> Result<()> {
    let shown = path.display();
    if found.file_type().is_symlink() {
        let target = std::fs::read_link(path).unwrap_or_default();
        return Err(Failure::conflict(format!("{shown} is a symbolic link, to {}", target.display()))
            .hint("name the directory itself with --root DIR or FIEF_ROOT"));
    }
    if !found.is_dir() {
        return Err(Failure::conflict(format!("{shown} is not a directory")).hint(CHOOSE));
    }
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        return Err(Failure::conflict(format!("{shown} belongs to user {}, and you are user {me}", found.uid()))
            .hint(if me == 0 { CHOOSE.to_owned() } else { format!("run fief as its owner, or {CHOOSE}") }));
    }
    if found.mode() & 0o022 != 0 {
        return Err(Failure::conflict(format!(
            "{shown} can be written by other users (mode {:04o})",
            found.mode() & 0o7777
        ))
        .hint(format!("once you know that nobody changed it: chmod 0700 {shown}")));
    }
    Ok(())
}

/// A directory above that anybody may write (and that is not sticky, as /tmp is) lets anybody replace the root.
fn ancestors(path: &Path) -> Result<()> {
    for above in path.ancestors().skip(1) {
        if let Ok(found) = std::fs::metadata(above)
            && found.mode() & 0o1002 == 0o002
        {
            let message = format!("{} lies below {}, which every user can write", path.display(), above.display());
            return Err(Failure::conflict(message).hint(format!("chmod o-w {}, or {CHOOSE}", above.display())));
        }
    }
    Ok(())
}

/// Makes the root where it is absent (0700, as its missing parents), and checks that it can be written.
/// Gives the directories that it made, outermost first.
pub(super) fn prepare(layout: &Layout) -> Result<Vec<PathBuf>> {
    let root = layout.root();
    let mut absent: Vec<PathBuf> =
        root.ancestors().take_while(|path| path.symlink_metadata().is_err()).map(Path::to_owned).collect();
    absent.reverse();
    match std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root) {
        Ok(()) => {}
        // `check` says better what is in the way.
        Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotADirectory) => check(layout)?,
        Err(error) => {
            return Err(error)
                .context(|| format!("cannot make the directory {}", root.display()))
                .map_err(|failure| failure.hint(CHOOSE));
        }
    }
    check(layout)?;
    rustix::fs::access(root, Access::WRITE_OK | Access::EXEC_OK)
        .context(|| format!("cannot write in {}", root.display()))
        .map_err(|failure| failure.hint(format!("make it writable for its owner, or {CHOOSE}")))?;
    Ok(absent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use std::os::unix::fs::PermissionsExt;

    fn chosen(option: Option<&str>, variable: Option<&str>, default: Option<&str>) -> Result<PathBuf> {
        choose(option.map(PathBuf::from), variable.map(OsString::from), default.map(PathBuf::from))
            .map(|layout| layout.root().to_owned())
    }

    #[test]
    fn the_option_wins_over_the_variable_and_the_variable_over_the_default() {
        assert_eq!(chosen(Some("/a//./x/"), Some("/b"), Some("/c")).unwrap(), Path::new("/a/x"));
        assert_eq!(chosen(None, Some("/b"), Some("/c")).unwrap(), Path::new("/b"));
        assert_eq!(chosen(None, None, Some("/c")).unwrap(), Path::new("/c"));
        assert_eq!(chosen(Some("x"), None, None).unwrap(), std::env::current_dir().unwrap().join("x"));
    }

    #[test]
    fn a_root_that_cannot_be_meant_is_a_usage_error() {
        for (option, variable, default) in [
            (None, Some(""), Some("/c")),
            (None, Some("relative"), Some("/c")),
            (None, Some("/a/../b"), None),
            (Some(""), None, None),
            (Some("/"), None, None),
            (None, None, None),
        ] {
            let failure = chosen(option, variable, default).unwrap_err();
            assert_eq!(failure.kind, Kind::Usage, "{failure}");
            assert!(failure.hint.is_some(), "{failure}");
        }
    }

    #[test]
    fn the_root_is_made_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("a/b"));
        check(&layout).unwrap();
        assert!(!layout.root().exists(), "looking made it");
        assert_eq!(prepare(&layout).unwrap(), [folder.path().join("a"), folder.path().join("a/b")]);
        assert_eq!(prepare(&layout).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(std::fs::metadata(layout.root()).unwrap().permissions().mode() & 0o7777, 0o700);
    }

    #[test]
    fn what_is_not_a_directory_of_our_own_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink(folder.path(), at("link")).unwrap();
        for (name, mode) in [("open", 0o777), ("group", 0o770), ("world", 0o777)] {
            std::fs::create_dir(at(name)).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::fs::create_dir(at("world/root")).unwrap();
        for (name, why) in [
            ("file", "not a directory"),
            ("file/below", "no directory"),
            ("link", "symbolic link"),
            ("open", "other users"),
            ("group", "other users"),
            ("world/root", "every user"),
        ] {
            let layout = Layout::new(at(name));
            for failure in [check(&layout).unwrap_err(), prepare(&layout).unwrap_err()] {
                assert_eq!(failure.kind, Kind::Conflict, "{failure}");
                assert!(failure.message.contains(why), "{failure}");
                assert!(failure.hint.is_some(), "{failure}");
            }
        }
    }
}
