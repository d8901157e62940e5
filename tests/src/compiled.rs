//! Plugins that fief compiled for one host of a test, lent to the next: to compile one takes a second or more, and each
//! test makes hosts of its own. What does not fit the binary under test is compiled anew, as on any host.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::{fief, target};

const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);

/// One folder for each binary under test.
fn folder() -> PathBuf {
    let facts = fs::metadata(fief()).expect("the binary under test");
    target().join(format!("tmp/compiled/{}-{}-{}", facts.ino(), facts.len(), facts.mtime_nsec()))
}

/// Puts all that is known into a root that is being made.
pub(crate) fn lend(root: &Path) {
    copy(&folder(), &root.join("cache"));
}

/// Keeps what a root has; what was kept for a binary that is not there any more goes with time.
pub(crate) fn keep(root: &Path) {
    let folder = folder();
    if !folder.exists() {
        for other in fs::read_dir(target().join("tmp/compiled")).into_iter().flatten().flatten() {
            let age = other.metadata().and_then(|facts| facts.modified()).ok().and_then(|then| then.elapsed().ok());
            if age.is_some_and(|age| age > FORGOTTEN) {
                let _ = fs::remove_dir_all(other.path());
            }
        }
    }
    copy(&root.join("cache"), &folder);
}

/// Without it tests are slow and no less true: what cannot be copied is not.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let place = to.join(&name);
        if !place.exists() && fs::create_dir_all(to).is_ok() {
            // Other tests do the same at the same time.
            let aside = to.join(format!(".{}-{}", std::process::id(), name.to_string_lossy()));
            if fs::copy(entry.path(), &aside).is_ok() {
                let _ = fs::rename(&aside, &place);
            }
        }
    }
}
