//! The way down: what a start has done is undone, whatever of it there is.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use crate::domain::{hold, keeper, lease};
use crate::error::{Context, Failure, Result};
use crate::gate::{Gate, Ledger};
use crate::layout::Layout;
use crate::storage::Pool;
use crate::types::{DomainName, PoolName, VolumeRef};

/// How long storage may take to let volumes go. What does not answer keeps its fence, which the next attachment of this
/// host moves on, and `fief volume unlock` frees.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);

/// Tells the storage plugins that volumes are not used any more, all at the same time; their leases are still to be
/// released. A plugin that is broken or gone, or storage that does not answer, must not keep a domain from stopping.
pub(in crate::domain) fn let_go(gate: &Gate, domain: &DomainName, volumes: &[VolumeRef]) {
    let mut pools: BTreeMap<PoolName, Vec<VolumeRef>> = BTreeMap::new();
    for volume in volumes {
        pools.entry(volume.pool.clone()).or_default().push(volume.clone());
    }
    let (done, all_done) = mpsc::channel::<()>();
    for (name, volumes) in pools {
        let (gate, domain, done) = (gate.clone(), domain.clone(), done.clone());
        // Left behind where it takes too long; its sandbox ends with this process.
        std::thread::spawn(move || {
            let mut pool = Pool::open(&gate, &name);
            for volume in &volumes {
                let told = pool.as_mut().map_err(|failure| failure.clone()).and_then(|pool| {
                    let detached = pool.detach(&volume.volume);
                    hold::release(&gate, pool, volume, &domain).and(detached)
                });
                if let Err(failure) = told {
                    tracing::warn!(%volume, %failure, "the storage plugin did not let the volume go");
                }
            }
            drop(done);
        });
    }
    drop(done);
    if all_done.recv_timeout(LET_GO_WITHIN) == Err(mpsc::RecvTimeoutError::Timeout) {
        tracing::warn!(%domain, "storage does not answer, and is left to let go by itself");
    }
}

/// Undoes a start, whole or half: hypervisor and taps by the ledger, then the volumes. Goes on past errors and gives
/// them all; none means that nothing is left.
pub fn tear_down(gate: &Gate, ledger: &mut Ledger, name: &DomainName, volumes: &[VolumeRef]) -> Vec<Failure> {
    let mut failures = gate.undo(ledger).err().unwrap_or_default();
    // Not before the hypervisor, which has them write what it still holds.
    failures.extend(keeper::clear(gate, name));
    let_go(gate, name, volumes);
    for volume in volumes {
        if let Err(failure) = lease::release(gate.layout(), volume, name) {
            failures.push(failure);
        }
    }
    for socket in ["control.sock", "qmp.sock", "serial.sock", "vnc.sock"] {
        if let Err(failure) = remove(gate.layout(), name, socket) {
            failures.push(failure);
        }
    }
    failures
}

fn remove(layout: &Layout, name: &DomainName, file: &str) -> Result<()> {
    let path = layout.domain(name).join(file);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
