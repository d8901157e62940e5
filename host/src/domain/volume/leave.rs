//! The disks of a running guest on their way to another host, each over a stream of its own, round after round
//! (`hypervisor/qemu/qmp/rounds.rs`).

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::opened::connected;
use crate::error::{Context, Failure, Result};
use crate::hypervisor::qemu::qmp::Monitor;
use crate::migration::copying::{Disk, Pace, Progress, Sender, Stream, disk};
use crate::sys::socket;

/// In the domain's folder: where its hypervisor listens meanwhile.
const SOCKET: &str = "copying.sock";

/// What is under way; dropped, the hypervisor still has its part, which [`clear`] takes away.
#[derive(Debug)]
pub struct Leaving<S> {
    monitor: Monitor,
    folder: PathBuf,
    /// By place in the machine.
    disks: Vec<(usize, Sender<S>)>,
    round: u32,
}

impl<S: Stream> Leaving<S> {
    /// Has the hypervisor show its disks, and greets the target of each. `folder`: the domain's.
    ///
    /// # Errors
    /// The hypervisor's, or a target's. What was begun by then is the caller's to [`clear`].
    pub async fn begin(
        monitor: &Monitor,
        folder: &Path,
        disks: Vec<(usize, S)>,
        pace: &Arc<Pace>,
        progress: &Arc<Progress>,
    ) -> Result<Leaving<S>> {
        let listener = socket::listen_in(folder, SOCKET).context(|| "cannot listen for disks".to_owned())?;
        monitor.listen_nbd(OwnedFd::from(listener)).await?;
        let mut leaving = Leaving { monitor: monitor.clone(), folder: folder.to_owned(), disks: Vec::new(), round: 0 };
        for (place, stream) in disks {
            let size = monitor.size_of(place).await?;
            leaving.disks.push((place, Sender::begin(stream, size, pace.clone(), progress.clone()).await?));
        }
        Ok(leaving)
    }

    /// One more round of all disks, side by side: all that they hold, and after that what was written since the round before.
    /// Gives the bytes that went over. With the guest standing still it is the last one.
    pub async fn round(&mut self) -> Result<u64> {
        self.round += 1;
        let (monitor, folder, round) = (&self.monitor, &self.folder, self.round);
        let rounds = self.disks.iter_mut().map(|(place, sender)| one(monitor, folder, *place, round, sender));
        let sent: Vec<u64> = futures_util::future::try_join_all(rounds).await?;
        Ok(sent.iter().sum())
    }

    /// The targets hear that this was all, and the hypervisor lets go of the disks.
    pub async fn end(self) -> Result<()> {
        for (_, sender) in self.disks {
            sender.over().await?;
        }
        clear(&self.monitor, &self.folder).await
    }
}

/// Takes away what copies have in the hypervisor, whatever became of them: the guest goes on as if they had not been.
pub async fn clear(monitor: &Monitor, folder: &Path) -> Result<()> {
    monitor.end_rounds().await?;
    match std::fs::remove_file(folder.join(SOCKET)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| "cannot remove a socket".to_owned())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A connection to what the hypervisor shows.
pub fn reach(folder: &Path) -> Result<std::os::unix::net::UnixStream> {
    socket::connect_in(folder, SOCKET).context(|| "the hypervisor does not listen for disks".to_owned())
}

async fn one<S: Stream>(
    monitor: &Monitor,
    folder: &Path,
    place: usize,
    round: u32,
    sender: &mut Sender<S>,
) -> Result<u64> {
    let shown = monitor.round(place, round).await?;
    let contexts: Vec<&str> = [disk::ALLOCATION].into_iter().chain(shown.written.as_deref()).collect();
    let client = connected(reach(folder)?, &shown.export, &contexts).await?;
    let disk = Arc::new(Disk::Nbd(client));
    let sent = match &shown.written {
        None => sender.all(&disk).await?,
        Some(_) => {
            let written = disk.written().await?;
            sender.again(&disk, &written).await?
        }
    };
    let client = Arc::into_inner(disk).ok_or_else(|| Failure::other("a disk is still being read"))?;
    if let Disk::Nbd(client) = client {
        client.close().await;
    }
    Ok(sent)
}

#[cfg(test)]
mod tests;
