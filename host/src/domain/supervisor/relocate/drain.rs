//! Memory that was on its way by several connections when a supervisor was killed. QEMU keeps the ends that it had
//! (sys/deposit.rs), and waits, since nobody reads them; its guest goes on. Whoever takes the guest up reads them to nowhere, and
//! before it says a word to QEMU: one that writes the last of a guest hears none meanwhile. So QEMU gives up by the way on which
//! nothing breaks, as it does for a supervisor that lives (domain/relocation/pump.rs).

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::AddressFamily;
use rustix::net::sockopt::{socket_acceptconn, socket_domain};
use tokio::task::JoinSet;

use crate::hypervisor::qemu::qmp::Monitor;
use crate::sys::deposit;
use crate::types::ProcessId;

/// In the domain's folder, while memory goes by several (`gate/perform/listen.rs`).
const SOCKET: &str = "served/memory.sock";

/// Ends that are read to nowhere until their hypervisor closes them.
#[derive(Debug)]
pub(in super::super) struct Drain {
    socket: PathBuf,
    reads: JoinSet<()>,
}

impl Drain {
    /// None where no earlier supervisor left any.
    pub(in super::super) fn begin(folder: &Path, hypervisor: ProcessId) -> Option<Drain> {
        let socket = folder.join(SOCKET);
        if !socket.exists() {
            return None;
        }
        let mut reads = JoinSet::new();
        match deposit::kept_by(hypervisor) {
            Ok(ends) => {
                tracing::warn!(
                    ends = ends.len(),
                    "memory was on its way: what the hypervisor still sends goes nowhere"
                );
                for end in ends {
                    read(end, &mut reads);
                }
            }
            Err(error) => tracing::warn!(%error, "what the hypervisor still sends cannot be looked for"),
        }
        Some(Drain { socket, reads })
    }

    /// Has it give up what it sends.
    pub(in super::super) async fn end(mut self, monitor: &Monitor) {
        if let Err(failure) = monitor.give_up().await {
            tracing::warn!(%failure, "the hypervisor does not give up sending its guest");
            self.reads.detach_all();
        }
        // Nobody connects there any more; what stays goes with the domain's other sockets.
        let _ = std::fs::remove_file(self.socket);
    }
}

/// What lies there is as good as whoever keeps it: nothing but unix sockets is read.
fn read(end: OwnedFd, reads: &mut JoinSet<()>) {
    if socket_domain(&end) != Ok(AddressFamily::UNIX) {
        return;
    }
    match socket_acceptconn(&end) {
        Ok(true) => {
            let listener = UnixListener::from(end);
            let listener = listener.set_nonblocking(true).and_then(|()| tokio::net::UnixListener::from_std(listener));
            let Ok(listener) = listener else { return };
            reads.spawn(async move {
                let mut more = JoinSet::new();
                // Those that were not taken yet.
                while let Ok((stream, _)) = listener.accept().await {
                    more.spawn(nowhere(stream));
                }
            });
        }
        Ok(false) => {
            let stream = UnixStream::from(end);
            let stream = stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream));
            if let Ok(stream) = stream {
                reads.spawn(nowhere(stream));
            }
        }
        Err(_) => {}
    }
}

async fn nowhere(mut stream: tokio::net::UnixStream) {
    // One that breaks has nothing more to say.
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}
