//! A guest that stands still while it goes over: its memory into a file, and the file to the other host.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::saving::in_thread;
use crate::domain::relocation::words::Purpose;
use crate::domain::relocation::{SERVICE, STATE};
use crate::error::{Context, Failure, Kind, Result};
use crate::fault;
use crate::gate::Gate;
use crate::hypervisor::qemu::qmp::Monitor;
use crate::migration::copying::state::send_file;
use crate::migration::copying::{Pace, Progress};
use crate::peer::Session;
use crate::types::PeerName;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// What is read at once, in bytes.
const PIECE: usize = 1 << 20;

pub fn file(folder: &Path) -> PathBuf {
    folder.join(STATE)
}

/// One that is not there is already removed.
pub fn clear(folder: &Path) {
    match std::fs::remove_file(file(folder)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, "the state of a guest that moved stays");
        }
        Ok(()) | Err(_) => {}
    }
}

/// Writes the guest's state, and gives its length. The guest stands still from then on.
pub async fn save(monitor: Monitor, folder: PathBuf) -> Result<u64> {
    let saying = || "cannot save the guest's state".to_owned();
    let path = file(&folder);
    clear(&folder);
    let mut options = File::options();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path).context(saying)?;
    let (mut source, target) = std::io::pipe().context(saying)?;
    let written = in_thread(move || {
        let copied = std::io::copy(&mut source, &mut file).and_then(|length| file.sync_all().map(|()| length));
        copied.map_err(|error| match error.kind() {
            std::io::ErrorKind::StorageFull => Failure::new(Kind::NoRoom, saying())
                .because(error)
                .hint("make room for the guest's memory below the root"),
            _ => Failure::other(saying()).because(error),
        })
    });
    let moved = monitor.write_state(OwnedFd::from(target)).await;
    // Where the file could not be written, QEMU says that its pipe broke: the cause is the file's.
    let length = written.await?;
    moved?;
    fault::point("hand.saved")?;
    Ok(length)
}

/// Sends what was saved; gives the bytes that went over. What a cut leaves there is gone on with.
pub async fn send(gate: Gate, to: PeerName, purpose: Purpose, folder: PathBuf, pace: Arc<Pace>) -> Result<u64> {
    let state = File::open(file(&folder)).context(|| "cannot read the guest's state".to_owned())?;
    let session = Session::connect(&gate, &to, CONNECT_WITHIN).await?;
    let stream = session.open_stream(SERVICE, &purpose, CONNECT_WITHIN).await?;
    let sent = send_file(stream, state, &pace, &Progress::default()).await?;
    fault::point("hand.sent")?;
    Ok(sent)
}

/// Gives a hypervisor that waits for it the state that came.
pub async fn load(monitor: Monitor, folder: PathBuf) -> Result<()> {
    let mut state = File::open(file(&folder)).context(|| "the guest's state did not come".to_owned())?;
    let (source, mut target) = std::io::pipe().context(|| "cannot make a pipe for the state".to_owned())?;
    let read = in_thread(move || {
        let mut piece = vec![0; PIECE];
        loop {
            match state.read(&mut piece).context(|| "cannot read the guest's state".to_owned())? {
                0 => return Ok(()),
                count => std::io::Write::write_all(&mut target, &piece[..count])
                    .context(|| "the hypervisor does not take the guest's state".to_owned())?,
            }
        }
    });
    let moved = monitor.read_state(source.into()).await;
    let read = read.await;
    moved?;
    read
}
