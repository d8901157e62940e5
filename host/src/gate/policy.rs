//! policy.toml, changed by a command: read, changed in its text, held to be a policy, and written as a whole, under a lock.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use crate::config::policy::edit::{self, Edit};
use crate::config::policy::{Policy, parse, read};
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::layout::Layout;
use crate::sys::durable::{self, Written};
use crate::types::PluginId;

/// For another command that changes policy: it writes a file.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The lines that would go and come, as `-…` and `+…`; nothing is written.
///
/// # Errors
/// As [`edit`], less those of writing.
pub fn preview(layout: &Layout, id: &PluginId, edits: &[Edit]) -> Result<Vec<String>> {
    let (before, after) = edited(&layout.policy(), id, edits)?;
    Ok(edit::changed(&before, &after))
}

/// What policy would say; nothing is written.
///
/// # Errors
/// As [`edit`], less those of writing.
pub fn wanted(layout: &Layout, id: &PluginId, edits: &[Edit]) -> Result<Policy> {
    let path = layout.policy();
    let (_, after) = edited(&path, id, edits)?;
    parse(&after, &path.display().to_string())
}

/// Makes the changes; `false` where all is so already. The file keeps its owner and mode; where there is none, it is made.
///
/// # Errors
/// `Usage` where it is no policy, or would be none; `Denied` where it is not to be trusted; `Conflict` where it is a
/// symbolic link, or another plugin serves a kind that this one is to serve. Then nothing was written.
pub(super) fn edit(layout: &Layout, id: &PluginId, edits: &[Edit]) -> Result<bool> {
    let _lock = durable::lock(&layout.policy_lock(), LOCK_WAIT)?;
    // What a command that was killed has half written; nothing else in this folder is written by others.
    durable::sweep(layout.root()).context(|| format!("cannot tidy {}", layout.root().display()))?;
    let path = layout.policy();
    let (before, after) = edited(&path, id, edits)?;
    if before == after {
        return Ok(false);
    }
    let point = |written| match written {
        Written::Aside => fault::point("policy.aside"),
        Written::Named => fault::point("policy.named"),
        Written::Synced => fault::point("policy.synced"),
    };
    durable::rewrite_in_steps(&path, &after, point).map(|()| true)
}

/// The text, and what it would be.
fn edited(path: &Path, id: &PluginId, edits: &[Edit]) -> Result<(Vec<u8>, Vec<u8>)> {
    let shown = path.display().to_string();
    match std::fs::symlink_metadata(path) {
        // What it leads to is somebody else's to write, a tool's that manages hosts say.
        Ok(found) if found.file_type().is_symlink() => {
            let target = std::fs::read_link(path).unwrap_or_default();
            return Err(Failure::conflict(format!("{shown} is a symbolic link, to {}", target.display()))
                .hint("change that file where it is made, or put it in the place of the link"));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).context(|| format!("cannot look at {shown}"));
        }
        Ok(_) | Err(_) => {}
    }
    let before = read(path)?.unwrap_or_default();
    // Another command may have said since that another plugin serves it. What is no policy is told of below.
    if let Ok(policy) = parse(&before, &shown) {
        for edit in edits {
            if let Edit::Serve { table, kind } = edit {
                edit::may_serve(&policy, *table, kind, id)?;
            }
        }
    }
    let after = edit::edit(&before, &shown, id, edits)?;
    Ok((before, after))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::config::policy::edit::Served;
    use crate::error::Kind;

    #[test]
    fn a_change_is_written_once_and_the_file_stays_who_it_belongs_to() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let id: PluginId = "x".parse().unwrap();
        let secret = |name: &str| Edit::GrantSecret { name: name.parse().unwrap() };
        assert_eq!(preview(&layout, &id, &[secret("a")]).unwrap(), ["+[plugins.x]", "+secrets = [\"a\"]"]);
        assert!(!layout.policy().exists());
        assert!(edit(&layout, &id, &[secret("a")]).unwrap());
        let half = root.path().join(".policy.toml.0123456789abcdef");
        std::fs::write(&half, "half").unwrap();
        assert!(!edit(&layout, &id, &[secret("a"), Edit::Known]).unwrap());
        assert!(!half.exists());
        std::fs::set_permissions(layout.policy(), std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(edit(&layout, &id, &[secret("b")]).unwrap());
        assert_eq!(std::fs::read_to_string(layout.policy()).unwrap(), "[plugins.x]\nsecrets = [\"a\", \"b\"]\n");
        assert_eq!(std::fs::metadata(layout.policy()).unwrap().mode() & 0o7777, 0o640);
    }

    #[test]
    fn of_two_that_are_to_serve_one_kind_at_the_same_time_one_does() {
        for _ in 0..20 {
            let root = tempfile::tempdir().unwrap();
            let layout = Layout::new(root.path());
            let serve = |id: &str| {
                let edits = [Edit::Serve { table: Served::Pools, kind: "file".to_owned() }];
                edit(&layout, &id.parse().unwrap(), &edits)
            };
            let done = std::thread::scope(|scope| {
                let both = ["a", "b"].map(|id| scope.spawn(move || serve(id).map_err(|failure| failure.kind)));
                both.map(|one| one.join().unwrap())
            });
            let (by, refused) = match done {
                [Ok(true), refused] => ("a", refused),
                [refused, done] => {
                    assert_eq!(done, Ok(true));
                    ("b", refused)
                }
            };
            assert_eq!(refused, Err(Kind::Conflict));
            let policy = parse(&std::fs::read(layout.policy()).unwrap(), "policy.toml").unwrap();
            assert_eq!(policy.pools.get("file").map(PluginId::as_str), Some(by));
            // Said again, all is so already.
            assert_eq!(serve(by), Ok(false));
        }
    }

    #[test]
    fn what_is_no_policy_of_our_own_is_not_written_to() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let id: PluginId = "x".parse().unwrap();
        let refused = |kind| {
            let before = std::fs::read(layout.policy()).unwrap();
            assert_eq!(edit(&layout, &id, &[Edit::Known]).unwrap_err().kind, kind);
            assert_eq!(std::fs::read(layout.policy()).unwrap(), before);
        };
        std::fs::write(layout.policy(), "nonsense = 1\n").unwrap();
        refused(Kind::Usage);
        std::fs::write(layout.policy(), "").unwrap();
        std::fs::set_permissions(layout.policy(), std::fs::Permissions::from_mode(0o666)).unwrap();
        refused(Kind::Denied);
        std::fs::rename(layout.policy(), root.path().join("other")).unwrap();
        std::os::unix::fs::symlink("other", layout.policy()).unwrap();
        refused(Kind::Conflict);
    }
}
