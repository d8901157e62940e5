//! A pool that is being recorded: its file below the root, and how that becomes the recording which is handed on.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::format::{self, Header, Line, Reader, Recorded, VERSION};
use crate::error::{Context, Failure, Result};
use crate::layout::Layout;
use crate::plugin::Installed;
use crate::sys::durable::{self, Lock};
use crate::types::{ByteSize, PoolName};

/// How long a call waits for another that writes itself down.
const LOCK_WAIT: Duration = Duration::from_secs(5);

fn on(layout: &Layout, pool: &PoolName) -> PathBuf {
    layout.pool(pool).join("recording.jsonl")
}

/// Its name once it is full: nothing comes to it any more.
fn full(layout: &Layout, pool: &PoolName) -> PathBuf {
    layout.pool(pool).join("recording-full.jsonl")
}

fn lock(layout: &Layout, pool: &PoolName) -> Result<Lock> {
    durable::lock(&layout.pool(pool).join("recording.lock"), LOCK_WAIT)
}

/// The file of a pool's recording, whether or not it is full.
fn there(layout: &Layout, pool: &PoolName) -> Option<PathBuf> {
    [on(layout, pool), full(layout, pool)].into_iter().find(|path| path.exists())
}

pub(super) fn is_on(layout: &Layout, pool: &PoolName) -> bool {
    on(layout, pool).exists()
}

/// Whether a recording was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    Now,
    /// By an earlier command, in the same way.
    Already,
}

/// From now on, the pool's calls are recorded.
///
/// # Errors
/// `Conflict` where it is recorded in another way, or its recording is full.
pub fn begin(layout: &Layout, pool: &PoolName, plugin: &Installed, most: ByteSize, heads: ByteSize) -> Result<Begun> {
    let _lock = lock(layout, pool)?;
    if let Some(path) = there(layout, pool) {
        let (there, stop) = (read_header(&path)?, format!("fief plugin record {pool} --stop --into FILE ends it"));
        return match (path == on(layout, pool), (there.most, there.heads) == (most, heads)) {
            (true, true) => Ok(Begun::Already),
            (true, false) => {
                Err(Failure::conflict(format!("the pool {pool} is recorded already, with other options")).hint(stop))
            }
            (false, _) => Err(Failure::conflict(format!("the recording of the pool {pool} is full")).hint(stop)),
        };
    }
    let header = Header {
        form: VERSION,
        fief: env!("CARGO_PKG_VERSION").to_owned(),
        plugin: plugin.manifest.id.clone(),
        version: plugin.manifest.version.to_string(),
        digest: plugin.digest,
        pool: pool.clone(),
        began: Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string(),
        heads,
        most,
    };
    durable::write(&on(layout, pool), &format::line(&format::document(&header)?))?;
    Ok(Begun::Now)
}

/// What is recorded: by whom, and in which way.
pub(super) fn header(layout: &Layout, pool: &PoolName) -> Result<Header> {
    read_header(&on(layout, pool))
}

fn read_header(path: &Path) -> Result<Header> {
    let saying = || format!("cannot read {}", path.display());
    let file = BufReader::new(File::open(path).context(saying)?);
    Ok(Reader::begin(file, &path.display().to_string())?.header().clone())
}

/// Adds a line, unless the recording was ended meanwhile, or is full with it: then it ends here.
pub(super) fn append(layout: &Layout, pool: &PoolName, line: &[u8]) -> Result<()> {
    let _lock = lock(layout, pool)?;
    let path = on(layout, pool);
    let saying = || format!("cannot write {}", path.display());
    let mut file = match OpenOptions::new().read(true).append(true).open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.context(saying)?,
    };
    let most = read_header(&path)?.most.bytes();
    let length = file.metadata().context(saying)?.len();
    if length + line.len() as u64 > most {
        return std::fs::rename(&path, full(layout, pool)).context(saying);
    }
    // A line that was cut off by a kill ends here, and is told from a whole one by its check.
    let mut last = [0; 1];
    file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last)).context(saying)?;
    let line = if last == *b"\n" { line.to_vec() } else { [b"\n", line].concat() };
    file.write_all(&line).context(saying)
}

/// What a recording has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    pub calls: usize,
    pub left_out: usize,
    pub bytes: u64,
    /// It ended by itself.
    pub full: bool,
}

/// Ends the recording and writes it to `into`, a new file of mode 0600.
///
/// # Errors
/// `NotFound` where the pool is not recorded, `Conflict` where something has that name: it goes on then.
pub fn stop(layout: &Layout, pool: &PoolName, into: &Path) -> Result<Summary> {
    let path = there(layout, pool).ok_or_else(|| not_recorded(pool))?;
    let _lock = lock(layout, pool)?;
    let saying = || format!("cannot write {}", into.display());
    let folder = into.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let random = durable::random_name().context(saying)?;
    let aside = folder.join(format!(".recording.{random}"));
    let written = written(&path, &aside).and_then(|summary| {
        // Unlike a rename, a link takes no other file's place.
        match std::fs::hard_link(&aside, into) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let failure = Failure::conflict(format!("{} exists already", into.display()));
                Err(failure.hint("name another file; the recording goes on until then"))
            }
            other => other.context(saying).map(|()| summary),
        }
    });
    // Where there is none, nothing was written.
    let _ = std::fs::remove_file(&aside);
    let summary = Summary { full: path == full(layout, pool), ..written? };
    durable::sync_folder(folder).context(saying)?;
    std::fs::remove_file(&path).context(|| format!("cannot remove {}", path.display()))?;
    Ok(summary)
}

fn written(path: &Path, aside: &Path) -> Result<Summary> {
    let reading = || format!("cannot read {}", path.display());
    let saying = || format!("cannot write {}", aside.display());
    let mut from = BufReader::new(File::open(path).context(reading)?);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(aside).context(saying)?;
    let mut to = std::io::BufWriter::new(file);
    let mut summary = Summary::default();
    let mut before: Option<Box<Recorded>> = None;
    let (mut first, mut lines) = (true, 0);
    while let Some(line) = format::next_line(&mut from).context(reading)? {
        let Some(document) = format::checked(&line) else {
            summary.left_out += 1;
            continue;
        };
        if first {
            first = false;
            to.write_all(&format::line(document)).context(saying)?;
            continue;
        }
        let document = match serde_json::from_slice(document) {
            Ok(Line::Call(call)) => {
                summary.calls += 1;
                let shorter = without_what_is_as_before(&call, before.as_deref());
                before = Some(call);
                format::document(&Line::Call(Box::new(shorter)))?
            }
            Ok(line @ Line::LeftOut(_)) => {
                summary.left_out += 1;
                format::document(&line)?
            }
            Ok(Line::End(_)) | Err(_) => {
                summary.left_out += 1;
                continue;
            }
        };
        lines += 1;
        to.write_all(&format::line(&document)).context(saying)?;
    }
    to.write_all(&format::line(&format::document(&Line::End(lines))?)).context(saying)?;
    let file = to.into_inner().map_err(std::io::IntoInnerError::into_error).context(saying)?;
    file.sync_all().context(saying)?;
    summary.bytes = file.metadata().context(saying)?.len();
    Ok(summary)
}

/// A directory that is as it was for the call before is not told again.
fn without_what_is_as_before(call: &Recorded, before: Option<&Recorded>) -> Recorded {
    let mut call = call.clone();
    for (at, directory) in call.directories.iter_mut().enumerate() {
        let known = before.and_then(|before| before.directories.get(at));
        if known.is_some_and(|known| known == directory) {
            directory.tree = None;
        }
    }
    call
}

/// Ends the recording, and nothing of it stays. One that is not there is gone already: `false`.
pub fn discard(layout: &Layout, pool: &PoolName) -> Result<bool> {
    if there(layout, pool).is_none() {
        return Ok(false);
    }
    let _lock = lock(layout, pool)?;
    let mut gone = false;
    for path in [on(layout, pool), full(layout, pool)] {
        match std::fs::remove_file(&path) {
            Ok(()) => gone = true,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(|| format!("cannot remove {}", path.display())),
        }
    }
    Ok(gone)
}

/// A pool that is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub header: Header,
    pub bytes: u64,
    pub full: bool,
}

/// All of them, by name.
pub fn list(layout: &Layout) -> Result<Vec<State>> {
    let mut pools: Vec<PoolName> =
        durable::names(&layout.pools())?.iter().filter_map(|name| name.parse().ok()).collect();
    pools.sort();
    let mut all = Vec::new();
    for pool in pools {
        let Some(path) = there(layout, &pool) else { continue };
        let bytes = std::fs::metadata(&path).context(|| format!("cannot look at {}", path.display()))?.len();
        all.push(State { header: read_header(&path)?, bytes, full: path == full(layout, &pool) });
    }
    Ok(all)
}

fn not_recorded(pool: &PoolName) -> Failure {
    Failure::not_found(format!("the pool {pool} is not recorded")).hint(format!("fief plugin record {pool} begins it"))
}
