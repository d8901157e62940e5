//! A volume that nobody writes to, on its way to another host over a stream.

use std::sync::Arc;

use super::export;
use super::opened::Opened;
use super::refuse_written;
use crate::domain::lease;
use crate::domain::unfinished::{Intent, Unfinished};
use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::gate::operation::ImageSnapshot;
use crate::migration::copying::{Pace, Progress, Sender, Stream};
use crate::types::{SnapshotName, VolumeRef};

/// Sends all of it, unless `stopped` comes first; gives the bytes that went over. Nobody starts a domain with it meanwhile.
///
/// # Errors
/// `Conflict` where a running domain writes to it; `Unreachable` where the stream was cut: what came is kept there.
pub async fn depart<S: Stream>(
    gate: &Gate,
    volume: &VolumeRef,
    stream: S,
    pace: &Arc<Pace>,
    progress: &Arc<Progress>,
    stopped: impl Future<Output = ()>,
) -> Result<u64> {
    refuse_written(gate, volume)?;
    // The same as an export: what is left of one that was killed is what was started to read it.
    let unfinished = Unfinished::begin(gate, Intent::Export { from: volume.clone() })?;
    lease::hold(gate.layout(), volume)?;
    let what = {
        let volume = volume.clone();
        move |ends: &mut super::ends::Ends<'_>| ends.read(&volume)
    };
    let sent = match Opened::open(gate, unfinished.folder(), unfinished.ledger_path(), what).await {
        Ok(opened) => {
            let sent = tokio::select! {
                biased;
                () = stopped => Err(Failure::conflict("the copy was given up")),
                sent = send(&opened.disk, stream, pace, progress) => sent,
            };
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
        Err(failure) => Err(unfinished.undone(gate, failure))
            .map_err(|failure| failure.while_doing(format!("cannot copy the volume {volume} to another host"))),
    }
}

/// The same of a snapshot inside of a volume, which a guest may go on writing to. The target has it as a snapshot when this ends
/// well; 0 bytes go over where it had it before.
///
/// # Errors
/// `NotFound` where there is no such snapshot any more; else as of [`depart`].
pub async fn depart_snapshot<S: Stream>(
    gate: &Gate,
    volume: &VolumeRef,
    snapshot: &ImageSnapshot,
    stream: S,
    pace: &Arc<Pace>,
    progress: &Arc<Progress>,
    stopped: impl Future<Output = ()>,
) -> Result<u64> {
    let saying = |failure: Failure| {
        failure.while_doing(format!("cannot copy the snapshot {} of {volume} to another host", snapshot.name))
    };
    let mut stopped = std::pin::pin!(stopped);
    let given_up = || Failure::conflict("the copy was given up");
    let begun = Sender::begin_unless_kept(stream, snapshot.size.bytes(), pace.clone(), progress.clone());
    let begun = tokio::select! {
        biased;
        () = stopped.as_mut() => Err(given_up()),
        begun = begun => begun,
    };
    let Some(mut sender) = begun.map_err(saying)? else { return Ok(0) };
    let name: SnapshotName =
        snapshot.name.parse().map_err(|invalid| saying(Failure::usage("it has no name").because(invalid)))?;
    // As of a whole volume, without its lease: whoever has the volume may go on.
    let unfinished = Unfinished::begin(gate, Intent::Export { from: volume.clone() })?;
    let what = {
        let volume = volume.clone();
        move |ends: &mut super::ends::Ends<'_>| ends.read_snapshot(&volume, &name)
    };
    let sent = match Opened::open(gate, unfinished.folder(), unfinished.ledger_path(), what).await {
        Ok(opened) => {
            let sent = tokio::select! {
                biased;
                () = stopped.as_mut() => Err(given_up()),
                sent = sender.all(&opened.disk) => sent,
            };
            let closed = opened.close().await;
            sent.and_then(|sent| closed.map(|()| sent))
        }
        Err(failure) => Err(failure),
    };
    let sent = match sent {
        Ok(sent) => {
            export::settle(gate, volume, &unfinished.ledger_path()).and_then(|()| unfinished.end())?;
            sent
        }
        Err(failure) => return Err(saying(unfinished.undone(gate, failure))),
    };
    let kept = tokio::select! {
        biased;
        () = stopped.as_mut() => Err(given_up()),
        kept = sender.kept() => kept,
    };
    kept.map(|()| sent).map_err(saying)
}

async fn send<S: Stream>(
    disk: &Arc<crate::migration::copying::Disk>,
    stream: S,
    pace: &Arc<Pace>,
    progress: &Arc<Progress>,
) -> Result<u64> {
    let mut sender = Sender::begin(stream, disk.size(), pace.clone(), progress.clone()).await?;
    let sent = sender.all(disk).await?;
    sender.over().await?;
    Ok(sent)
}
