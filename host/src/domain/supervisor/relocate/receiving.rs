//! A guest's memory that comes by several connections: QEMU listens for them, each is given the stream that it came by, the
//! first one first.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::Instant;

use super::taking::Taking;
use crate::domain::relocation::channels::{self, Asked, Channels};
use crate::domain::relocation::reason;
use crate::domain::relocation::words::Channel;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::{Actor, Ledger, Operation};
use crate::hypervisor::qemu::qmp::LISTENS;
use crate::migration::handover::{Attempt, Event};
use crate::sys::socket;

/// From the first of them to the last: the source opens all before its hypervisor sends.
const COME_WITHIN: Duration = Duration::from_secs(15);

/// Those that have come.
#[derive(Default)]
pub(super) struct Gathering {
    channels: Channels<UnixStream>,
    since: Option<Instant>,
    /// Where the hypervisor listens, while more are to come.
    folder: Option<(OwnedFd, Ledger)>,
}

impl Taking<'_, '_> {
    /// Hears which of the connections somebody has; the loop is told.
    pub(super) fn asked_for_channel(&self, mut stream: UnixStream) {
        let tell = self.tell_channel.clone();
        tokio::spawn(async move {
            if let Some(asked) = channels::hear(&mut stream).await {
                // The loop may be over.
                let _ = tell.send((asked, stream));
            }
        });
    }

    pub(super) async fn channel(&mut self, attempt: Attempt, asked: Asked, stream: UnixStream) {
        // Of another attempt nothing is awaited, and its end closes here.
        if asked.attempt != attempt {
            return;
        }
        self.memory = None;
        if let Err(failure) = self.takes_channel(attempt, asked.channel, stream).await {
            self.no_memory(attempt, &failure);
        }
    }

    async fn takes_channel(&mut self, attempt: Attempt, channel: Channel, stream: UnixStream) -> Result<()> {
        self.gathering.since.get_or_insert_with(Instant::now);
        let go = self.gathering.channels.comes(channel, stream);
        let go = go.map_err(|unwanted| Failure::conflict(unwanted.to_string()))?;
        if channel.number == 0 {
            self.opens(attempt, channel.of).await?;
        }
        let saying = || "cannot reach the hypervisor that waits for memory".to_owned();
        for stream in go {
            let Some((folder, _)) = &self.gathering.folder else { return Err(Failure::other(saying())) };
            let end = socket::connect_at(folder, LISTENS).context(saying)?;
            channels::give(&stream, &end).await.context(saying)?;
        }
        if !self.gathering.channels.lack()
            && let Some((_, mut ledger)) = self.gathering.folder.take()
        {
            // It goes with the domain's other sockets where it cannot go now.
            let _ = self.life.gate.undo(&mut ledger);
        }
        Ok(())
    }

    /// The hypervisor listens.
    async fn opens(&mut self, attempt: Attempt, of: u8) -> Result<()> {
        let monitor = self.monitor(attempt).await?;
        let id = self.life.record.run.as_ref().map_or(0, |run| run.id);
        let folder = Operation::MemoryFolder { domain: self.life.name(), id };
        let mut ledger = Ledger::volatile();
        let made = self.life.gate.perform(&Actor::Operator, &mut ledger, folder, Vec::new())?.descriptors.pop();
        let made = made.ok_or_else(|| Failure::other("no folder was made for a hypervisor"))?;
        self.gathering.folder = Some((made, ledger));
        monitor.receive_by_channels(of).await?;
        self.memory_comes(attempt, monitor);
        Ok(())
    }

    /// Gives the move up where one of them does not come.
    pub(super) fn lacks_channels(&mut self, attempt: Attempt) {
        let late = self.gathering.since.is_some_and(|since| since.elapsed() > COME_WITHIN);
        if late && self.gathering.channels.lack() {
            self.gathering.since = None;
            let (of, missing) = self.gathering.channels.of();
            let message = format!("of {} connections for memory, {missing} did not come", u16::from(of) + 1);
            self.no_memory(attempt, &Failure::new(Kind::TimedOut, message));
        }
    }

    pub(super) fn no_memory(&mut self, attempt: Attempt, failure: &Failure) {
        tracing::warn!(%failure, "the guest does not come");
        self.reasons.push(reason("memory", &self.offer.name, failure));
        self.happens(Event::StageFailed(attempt));
    }
}
