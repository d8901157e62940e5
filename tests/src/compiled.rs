//! Plugins that fief compiled for one host of a test, lent to the next: to compile one takes a second or more, and each
//! test makes hosts of its own. What does not fit the binary under test is compiled anew, as on any host.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::target;

/// What was not compiled anew for so long is of a plugin that is not built any more, or was not changed.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn folder() -> PathBuf {
    target().join("tmp/compiled")
}

/// Puts all that is known into a root that is being made.
pub fn lend(root: &Path) {
    let folder = folder();
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|facts| facts.modified()).ok().and_then(|then| then.elapsed().ok());
        if age.is_some_and(|age| age > FORGOTTEN) {
            let _ = fs::remove_file(entry.path());
        }
    }
    copy(&folder, &root.join("cache"));
}

/// Keeps what a root has; what was lent and refused there is another by now.
pub fn keep(root: &Path) {
    copy(&root.join("cache"), &folder());
}

/// Without it tests are slow and no less true: what cannot be copied is not.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let (place, hidden) = (to.join(&name), name.to_string_lossy().starts_with('.'));
        let same = || fs::read(&place).is_ok_and(|there| fs::read(entry.path()).is_ok_and(|here| here == there));
        if !hidden && !same() && fs::create_dir_all(to).is_ok() {
            // Other tests do the same at the same time.
            let aside = to.join(format!(".{}-{}", std::process::id(), name.to_string_lossy()));
            if fs::copy(entry.path(), &aside).is_err() || fs::rename(&aside, &place).is_err() {
                let _ = fs::remove_file(&aside);
            }
        }
    }
}
