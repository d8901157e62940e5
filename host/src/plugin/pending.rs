//! A file that a sandbox writes for the host: nameless to readers until it is whole, then durable like those of
//! `sys/durable.rs`.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Context, Failure, Result};
use crate::sys::durable;

/// Makes the folder (mode 0700) and those above it where they are absent.
pub(super) fn folder(path: &Path) -> Result<()> {
    let saying = || format!("cannot make the folder {}", path.display());
    DirBuilder::new().recursive(true).mode(0o700).create(path).context(saying)
}

/// A file that takes its name when it is [`Pending::commit`]ted, and is removed when it is dropped before.
pub(super) struct Pending {
    pub(super) file: File,
    beside: PathBuf,
    path: PathBuf,
    done: bool,
}

impl Pending {
    pub(super) fn begin(path: &Path) -> Result<Pending> {
        let saying = || format!("cannot write {}", path.display());
        let name = path.file_name().ok_or_else(|| Failure::other(format!("{} names no file", path.display())))?;
        let random = durable::random_name().context(saying)?;
        let beside = path.with_file_name(format!(".{}.{random}", name.to_string_lossy()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&beside);
        Ok(Pending { file: file.context(saying)?, beside, path: path.to_owned(), done: false })
    }

    /// Gives the file its name, with `mode`, durably.
    pub(super) fn commit(mut self, mode: u32) -> Result<()> {
        let saying = || format!("cannot write {}", self.path.display());
        self.file.set_permissions(Permissions::from_mode(mode)).context(saying)?;
        self.file.sync_all().context(saying)?;
        std::fs::rename(&self.beside, &self.path).context(saying)?;
        self.done = true;
        self.path.parent().map_or(Ok(()), durable::sync_folder).context(saying)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.done {
            // Left behind at worst: a name that begins with a dot and that nothing reads.
            let _ = std::fs::remove_file(&self.beside);
        }
    }
}
