//! A log that is cut in two, printed as it grows.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Context;
use crate::error::{Context as _, Result};

/// How often a followed file is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// The older half, `PATH.1`, and the newer one; then, where it is followed, what comes, until it is `over`.
pub(super) fn print(
    context: &Context,
    path: &Path,
    follow: bool,
    mut over: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let mut older = path.to_path_buf().into_os_string();
    older.push(".1");
    let mut tail = Tail { context, open: None };
    tail.print(&PathBuf::from(older))?;
    tail.open = None;
    tail.print(path)?;
    if !follow {
        return Ok(());
    }
    loop {
        // Asked first, so that what was said before the end is printed after it.
        let ends = over()?;
        tail.print(path)?;
        if ends {
            return Ok(());
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Prints a file as it grows, and its successor once it is turned.
struct Tail<'a> {
    context: &'a Context,
    open: Option<(File, u64)>,
}

impl Tail<'_> {
    fn print(&mut self, path: &Path) -> Result<()> {
        let saying = || format!("cannot read {}", path.display());
        if let Some((file, _)) = &mut self.open {
            copy(self.context, file).context(saying)?;
        }
        let now = match std::fs::metadata(path) {
            Ok(metadata) => metadata.ino(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).context(saying),
        };
        if self.open.as_ref().is_none_or(|(_, inode)| *inode != now) {
            let mut file = File::open(path).context(saying)?;
            file.seek(SeekFrom::Start(0)).context(saying)?;
            copy(self.context, &mut file).context(saying)?;
            self.open = Some((file, now));
        }
        Ok(())
    }
}

/// On a terminal, what the guest wrote is shown without the sequences that could do something to it.
fn copy(context: &Context, file: &mut File) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let length = file.read(&mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&bytes[..length]);
        let shown: String = text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect();
        context.print(&shown).map_err(std::io::Error::other)?;
    }
}
