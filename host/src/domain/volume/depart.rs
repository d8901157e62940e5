//! A volume that nobody writes to, on its way to another host over a stream.

use std::sync::Arc;

use super::export;
use super::opened::Opened;
use super::refuse_written;
use crate::domain::lease;
use crate::domain::unfinished::{Intent, Unfinished};
use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::migration::copying::{Pace, Progress, Sender, Stream};
use crate::types::VolumeRef;

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
