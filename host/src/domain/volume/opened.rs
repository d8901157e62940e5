//! A volume that this process reads or writes itself, for as long as a thread keeps it open: what serves it dies with that
//! thread, and whatever it takes to open and to close it may block.

use std::os::unix::net::UnixStream as Socket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;

use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::ends::{Ends, Way};
use crate::error::{Context, Failure, Result};
use crate::gate::{Gate, Ledger};
use crate::migration::copying::{Disk, disk};

/// Says what is opened, in the thread.
pub(super) trait Opens: FnOnce(&mut Ends<'_>) -> Result<Way> + Send + 'static {}
impl<F: FnOnce(&mut Ends<'_>) -> Result<Way> + Send + 'static> Opens for F {}

/// Dropped, it is closed too, and nobody hears how that went.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) disk: Arc<Disk>,
    close: mpsc::Sender<()>,
    closed: oneshot::Receiver<Result<()>>,
}

impl Opened {
    /// `folder`: where sockets may lie; `ledger`: what is started for it is noted there.
    pub(super) async fn open(gate: &Gate, folder: &Path, ledger: PathBuf, what: impl Opens) -> Result<Opened> {
        let (tell, told) = oneshot::channel();
        let (close, closing) = mpsc::channel();
        let (end, closed) = oneshot::channel();
        let (gate, folder) = (gate.clone(), folder.to_owned());
        let keep = move || {
            let kept = keep(&gate, &folder, &ledger, what, tell, &closing);
            // Whoever opened it may not wait.
            let _ = end.send(kept);
        };
        std::thread::Builder::new().name("volume".into()).spawn(keep).context(|| "cannot open a volume".to_owned())?;
        let way = match told.await {
            Ok(way) => way,
            // It says why where it is waited for.
            Err(_) => return Err(closed.await.ok().and_then(Result::err).unwrap_or_else(died)),
        };
        let disk = match way {
            Way::File(file) => Disk::file(file)?,
            Way::Served { socket, export } => Disk::Nbd(connected(socket, &export, &[disk::ALLOCATION]).await?),
        };
        Ok(Opened { disk: Arc::new(disk), close, closed })
    }

    /// All that was flushed is there; what serves it has let go.
    pub(super) async fn close(self) -> Result<()> {
        let Opened { disk, close, closed } = self;
        drop(disk);
        // A thread that is gone has said why.
        let _ = close.send(());
        closed.await.unwrap_or_else(|_| Err(died()))
    }
}

/// A client of what serves a disk.
pub(in crate::domain) async fn connected(socket: Socket, export: &str, contexts: &[&str]) -> Result<fief_nbd::Client> {
    let saying = || "cannot speak with what serves a volume".to_owned();
    socket.set_nonblocking(true).context(saying)?;
    let socket = UnixStream::from_std(socket).context(saying)?;
    fief_nbd::Client::connect(socket, export, contexts).await.map_err(|error| Failure::other(saying()).because(error))
}

fn died() -> Failure {
    Failure::other("whoever kept a volume open died")
}

fn keep(
    gate: &Gate,
    folder: &Path,
    ledger: &Path,
    what: impl Opens,
    tell: oneshot::Sender<Way>,
    closing: &mpsc::Receiver<()>,
) -> Result<()> {
    let mut ledger = Ledger::open(ledger)?;
    let kept = {
        let mut ends = Ends::new(gate, &mut ledger, folder);
        what(&mut ends).and_then(|way| {
            // Nobody may wait for it any more; then nobody closes it either.
            let _ = tell.send(way);
            let _ = closing.recv();
            ends.close()
        })
    };
    let undone = gate.undo(&mut ledger).map_err(|mut failures| failures.remove(0));
    kept.and(undone)
}
