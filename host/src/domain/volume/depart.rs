//! A volume that nobody writes to, or a snapshot inside of one, on its way to another host over a stream.

use std::pin::{Pin, pin};
use std::sync::Arc;

use super::export;
use super::opened::Opened;
use super::refuse_written;
use crate::domain::lease;
use crate::domain::unfinished::{Intent, Unfinished};
use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::gate::operation::ImageSnapshot;
use crate::migration::copying::{Disk, Pace, Progress, Sender, Stream};
use crate::types::{SnapshotName, VolumeRef};

/// What of a volume goes.
#[derive(Debug, Clone, Copy)]
pub enum Departs<'a> {
    /// All of it, as it is now. Nobody starts a domain with it meanwhile.
    Disk,
    /// It as it was then; a guest may go on writing to it. The target has it as a snapshot when that ends well.
    Snapshot(&'a ImageSnapshot),
}

/// Sends it, unless `stopped` comes first; gives the bytes that went over: 0 of a snapshot that the target had before.
///
/// # Errors
/// `Conflict` where a running domain writes to what goes as a whole; `NotFound` where there is no such snapshot any more;
/// `Unreachable` where the stream was cut: what came is kept there.
pub async fn depart<S: Stream>(
    gate: &Gate,
    volume: &VolumeRef,
    what: Departs<'_>,
    stream: S,
    pace: &Arc<Pace>,
    progress: &Arc<Progress>,
    stopped: impl Future<Output = ()>,
) -> Result<u64> {
    let saying = |failure: Failure| {
        failure.while_doing(match what {
            Departs::Disk => format!("cannot copy the volume {volume} to another host"),
            Departs::Snapshot(one) => format!("cannot copy the snapshot {} of {volume} to another host", one.name),
        })
    };
    let mut stopped = pin!(stopped);
    let (way, name) = match what {
        Departs::Disk => {
            refuse_written(gate, volume)?;
            (Way::Unsaid(stream, pace.clone(), progress.clone()), None)
        }
        Departs::Snapshot(one) => {
            let begun = Sender::begin_unless_kept(stream, one.size.bytes(), pace.clone(), progress.clone());
            let Some(sender) = unless(stopped.as_mut(), begun).await.map_err(saying)? else { return Ok(0) };
            let name: SnapshotName =
                one.name.parse().map_err(|invalid| saying(Failure::usage("it has no name").because(invalid)))?;
            (Way::Begun(sender), Some(name))
        }
    };
    // The same as an export: what is left of one that was killed is what was started to read it.
    let unfinished = Unfinished::begin(gate, Intent::Export { from: volume.clone() })?;
    if name.is_none() {
        lease::hold(gate.layout(), volume)?;
    }
    let reads = {
        let volume = volume.clone();
        move |ends: &mut super::ends::Ends<'_>| match &name {
            None => ends.read(&volume),
            Some(name) => ends.read_snapshot(&volume, name),
        }
    };
    let sent = match Opened::open(gate, unfinished.folder(), unfinished.ledger_path(), reads).await {
        Ok(opened) => {
            let sent = unless(stopped.as_mut(), send(way, what, &opened.disk)).await;
            let closed = opened.close().await;
            sent.and_then(|sent| closed.map(|()| sent))
        }
        Err(failure) => Err(failure),
    };
    match sent {
        Ok(sent) => {
            export::settle(gate, volume, &unfinished.ledger_path()).and_then(|()| unfinished.end())?;
            Ok(sent)
        }
        Err(failure) => Err(saying(unfinished.undone(gate, failure))),
    }
}

/// A way to the target: one that is not greeted before the size of what goes is known, and one that is.
enum Way<S> {
    Unsaid(S, Arc<Pace>, Arc<Progress>),
    Begun(Sender<S>),
}

async fn send<S: Stream>(way: Way<S>, what: Departs<'_>, disk: &Arc<Disk>) -> Result<u64> {
    let mut sender = match way {
        Way::Unsaid(stream, pace, progress) => Sender::begin(stream, disk.size(), pace, progress).await?,
        Way::Begun(sender) => sender,
    };
    let sent = sender.all(disk).await?;
    match what {
        Departs::Disk => sender.over().await?,
        Departs::Snapshot(_) => sender.kept().await?,
    }
    Ok(sent)
}

async fn unless<T>(stopped: Pin<&mut impl Future<Output = ()>>, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = stopped => Err(Failure::conflict("the copy was given up")),
        done = work => done,
    }
}
