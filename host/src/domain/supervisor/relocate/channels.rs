//! Memory that goes over by several connections, on the source: QEMU makes them itself, to a socket of its domain's. With one
//! it is given an open stream, as ever.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use super::sending::Job;
use super::stepping::no_guest;
use crate::domain::relocation::pump::{Carrying, Ends, Pump};
use crate::error::{Context, Failure, Result};
use crate::gate::{Actor, Gate, Ledger, Operation};
use crate::migration::handover::Attempt;
use crate::migration::steps::Limits;
use crate::types::DomainName;

/// What carries memory, and what was made for that.
pub(super) struct Sends {
    carrying: Carrying,
    /// The socket that several connections are made to.
    made: Option<(Gate, Ledger)>,
}

impl Sends {
    /// Why memory broke off, where QEMU does not say.
    pub(super) fn broke(&mut self) -> Option<Failure> {
        self.carrying.broke()
    }

    /// Where there are several, QEMU may wait for ever for one that is full or was closed: from now on all of them take what it
    /// writes, so that it gives up by the way on which nothing breaks.
    pub(super) fn stop(&self) {
        if self.made.is_some() {
            self.carrying.stop();
        }
    }

    /// QEMU has given up, or is done: nobody connects any more.
    pub(super) fn close(self) {
        let Some((gate, mut ledger)) = self.made else { return };
        for failure in gate.undo(&mut ledger).err().into_iter().flatten() {
            tracing::warn!(%failure, "a socket stays until the domain is off");
        }
    }
}

/// Until one of several connections breaks: QEMU may wait for what will never go through it.
pub(super) async fn lost(sends: &mut Option<Sends>) -> Failure {
    match sends {
        Some(Sends { carrying, made: Some(_) }) => carrying.lost().await,
        Some(Sends { made: None, .. }) | None => std::future::pending().await,
    }
}

impl Job {
    pub(super) async fn send_memory(
        &mut self,
        gate: &Gate,
        name: &DomainName,
        pump: Pump,
        attempt: Attempt,
        limits: Limits,
    ) -> Result<()> {
        let monitor = self.source.monitor.clone().ok_or_else(no_guest)?;
        // A hypervisor that an earlier fief started has no way to a socket.
        let id = self.source.reaches.filter(|_| limits.channels > 1);
        let channels = match id {
            Some(_) => pump.channels(limits.channels).await?,
            None => 1,
        };
        monitor.will_send(Limits { channels, ..limits }).await?;
        self.source.sends = true;
        tracing::info!(channels, "memory goes over");
        let domain = self.owner.domain();
        match id.filter(|_| channels > 1) {
            None => {
                let (here, theirs) = UnixStream::pair().context(|| "cannot move memory".to_owned())?;
                let carrying = pump.connect(domain, attempt, Ends::One(here)).await?;
                self.source.carries = Some(Sends { carrying, made: None });
                monitor.send_to(OwnedFd::from(theirs)).await
            }
            Some(id) => {
                let mut ledger = Ledger::volatile();
                let listen = Operation::MemoryListen { domain: name.clone(), id };
                let listener = gate.perform(&Actor::Operator, &mut ledger, listen, Vec::new())?.descriptors.pop();
                let listener = listener.ok_or_else(|| Failure::other("nothing listens for the guest's memory"))?;
                let made = (gate.clone(), ledger);
                let ends = Ends::Several { listener: UnixListener::from(listener), channels };
                let carrying = match pump.connect(domain, attempt, ends).await {
                    Ok(carrying) => carrying,
                    Err(failure) => {
                        let (gate, mut ledger) = made;
                        // It goes with the domain's other sockets where it cannot go now.
                        let _ = gate.undo(&mut ledger);
                        return Err(failure);
                    }
                };
                self.source.carries = Some(Sends { carrying, made: Some(made) });
                monitor.send_by_channels().await
            }
        }
    }
}
