//! Memory that goes over by several connections, on the source: QEMU makes them itself, to a socket of its domain's. With one
//! it is given an open stream, as ever.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use super::sending::Job;
use super::stepping::no_guest;
use crate::domain::record::Run;
use crate::domain::relocation::pump::{Carrying, Ends, Pump};
use crate::error::{Context, Failure, Result};
use crate::gate::{Actor, Gate, Ledger, Operation};
use crate::hypervisor::qemu::qmp::Monitor;
use crate::migration::handover::Attempt;
use crate::migration::steps::Limits;
use crate::sys::deposit::{self, Deposit};
use crate::types::{DomainName, ProcessId};

/// A hypervisor that has a way to sockets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reaches {
    run: u32,
    process: ProcessId,
}

impl Reaches {
    pub(super) fn of(run: &Run) -> Option<Reaches> {
        let process = run.hypervisor.filter(|_| run.serves)?;
        Some(Reaches { run: run.id, process })
    }
}

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

/// Has the hypervisor itself keep the ends that it connects to, from the socket on, so that it sees none of them closed where
/// this process is killed. None where nobody would find them again.
async fn kept(monitor: &Monitor, listener: &OwnedFd, process: ProcessId) -> Result<Option<Deposit>> {
    let saying = || "the hypervisor cannot keep its connections".to_owned();
    // Anybody else may look into processes of their own alone (yama), which those of a supervisor before are not.
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let (deposit, keeps) = Deposit::new().context(saying)?;
    monitor.keep(keeps).await?;
    deposit.put(listener).context(saying)?;
    match deposit::kept_by(process) {
        Ok(found) if !found.is_empty() => Ok(Some(deposit)),
        found => {
            tracing::info!(?found, "the hypervisor does not keep its connections: nobody could look for them");
            monitor.keep_no_more().await;
            Ok(None)
        }
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
        // Memory that is fetched comes by one.
        let fetches = self.source.offer.fetches;
        let reaches = self.source.reaches.filter(|_| limits.channels > 1 && !fetches);
        let channels = match reaches {
            Some(_) => pump.channels(limits.channels).await?,
            None => 1,
        };
        monitor.will_send(Limits { channels, ..limits }, fetches).await?;
        self.source.sends = true;
        tracing::info!(channels, "memory goes over");
        let domain = self.owner.domain();
        match reaches.filter(|_| channels > 1) {
            None => {
                let (here, theirs) = UnixStream::pair().context(|| "cannot move memory".to_owned())?;
                let carrying = pump.connect(domain, attempt, Ends::One(here)).await?;
                self.source.carries = Some(Sends { carrying, made: None });
                monitor.send_to(OwnedFd::from(theirs)).await
            }
            Some(Reaches { run, process }) => {
                let mut ledger = Ledger::volatile();
                let listen = Operation::MemoryListen { domain: name.clone(), id: run };
                let listener = gate.perform(&Actor::Operator, &mut ledger, listen, Vec::new())?.descriptors.pop();
                let listener = listener.ok_or_else(|| Failure::other("nothing listens for the guest's memory"))?;
                let made = (gate.clone(), ledger);
                let connecting = async {
                    let deposit = kept(&monitor, &listener, process).await?;
                    let ends = Ends::Several { listener: UnixListener::from(listener), channels, deposit };
                    pump.connect(domain, attempt, ends).await
                };
                let carrying = match connecting.await {
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
