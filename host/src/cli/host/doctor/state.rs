//! The root directory and the policy file: whose they are, and who else could write them.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Check, Health};
use crate::error::Failure;
use crate::layout::Layout;

/// `policy` is why the policy cannot be read, where it cannot.
pub(super) fn checks(layout: &Layout, policy: Option<&Failure>) -> Vec<Check> {
    let readable = match policy {
        None if layout.policy().exists() => Check::ok("policy", layout.policy().display().to_string()),
        None => Check::warn(
            "policy",
            "there is none, so plugins may do nothing",
            format!("write {}", layout.policy().display()),
        ),
        Some(failure) => {
            let remedy = failure.hint.clone().unwrap_or_else(|| format!("correct {}", layout.policy().display()));
            Check::fail("policy", failure.to_string(), remedy)
        }
    };
    vec![mode("root", layout.root(), 0o700), readable, mode("policy-mode", &layout.policy(), 0o600)]
}

/// Owned by this user, written by nobody else (a failure), read by nobody else (a warning).
fn mode(name: &'static str, path: &Path, wanted: u32) -> Check {
    let shown = path.display();
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Check::ok(name, format!("{shown} is not there yet"));
    };
    let me = rustix::process::geteuid().as_raw();
    let mode = found.mode() & 0o7777;
    let remedy = format!("chmod {wanted:04o} {shown}");
    let health = match mode & 0o777 & !wanted {
        0 => Health::Ok,
        open if open & 0o022 != 0 => Health::Fail,
        _ => Health::Warn,
    };
    match health {
        _ if found.file_type().is_symlink() => {
            Check::fail(name, format!("{shown} is a symbolic link"), "put the thing itself there")
        }
        _ if found.uid() != me => {
            Check::fail(name, format!("{shown} belongs to user {}", found.uid()), format!("chown {me} {shown}"))
        }
        Health::Ok => Check::ok(name, format!("{shown} ({mode:04o})")),
        Health::Warn => Check::warn(name, format!("{shown} can be read by others ({mode:04o})"), remedy),
        Health::Fail => Check::fail(name, format!("{shown} can be written by others ({mode:04o})"), remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_others_may_write_fails_and_what_they_may_read_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        assert_eq!(mode("policy-mode", &path, 0o600).health, Health::Ok, "an absent file is well");
        std::fs::write(&path, "").unwrap();
        for (bits, health) in [(0o600, Health::Ok), (0o400, Health::Ok), (0o644, Health::Warn), (0o620, Health::Fail)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(bits)).unwrap();
            assert_eq!(mode("policy-mode", &path, 0o600).health, health, "{bits:o}");
        }
    }
}
