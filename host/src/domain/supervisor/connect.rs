//! A supervisor's ends of its guest's sockets, and its own sockets that commands come to.

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::console::Console;
use super::control;
use super::relocate::Drain;
use crate::config::domain::{DomainDefinition, GraphicsKind};
use crate::error::{Context, Failure, Result};
use crate::gate::operation::ProcessId;
use crate::hypervisor::Event;
use crate::hypervisor::qemu::{self, qmp};
use crate::sys::{process, socket};

/// How long the last words of a hypervisor that is gone may take to arrive.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long they may go on: a hypervisor that was told to end and does not lets its guest speak without end.
const LAST_SPEECH: Duration = Duration::from_secs(1);

pub(super) struct Connected {
    pub(super) monitor: qmp::Monitor,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) console: Console,
    pub(super) serial: OwnedReadHalf,
    pub(super) control: UnixListener,
    pub(super) vnc: Option<UnixListener>,
    pub(super) exit: AsyncFd<std::os::fd::OwnedFd>,
    /// What an earlier supervisor was sending.
    pub(super) drain: Option<Drain>,
}

/// Greets the hypervisor and opens the sockets that commands use.
pub(super) async fn open(
    folder: &Path,
    definition: &DomainDefinition,
    hypervisor: Option<ProcessId>,
) -> Result<Connected> {
    with(folder, definition, hypervisor, None).await
}

/// The same for whoever listens to commands already.
pub(super) async fn with(
    folder: &Path,
    definition: &DomainDefinition,
    hypervisor: Option<ProcessId>,
    control: Option<UnixListener>,
) -> Result<Connected> {
    let hypervisor = hypervisor.ok_or_else(|| Failure::other("no hypervisor was started"))?;
    let exit = process::watch(hypervisor).context(|| "the hypervisor ended before it was ready".to_owned()).map_err(
        |mut failure| {
            failure.causes.extend(qemu::last_words(folder));
            failure
        },
    )?;
    let drain = Drain::begin(folder, hypervisor);
    let (monitor, events) = qmp::Monitor::connect(folder).await?;
    let serial = socket::connect_in(folder, "serial.sock")
        .and_then(into_async)
        .context(|| "cannot reach the guest's console".to_owned())?;
    let (console, serial) = Console::new(folder, serial)?;
    let vnc = match definition.graphics.kind {
        GraphicsKind::Vnc => Some(control::listen(folder, "vnc.sock")?),
        GraphicsKind::None => None,
    };
    let control = match control {
        Some(control) => control,
        None => control::listen(folder, "control.sock")?,
    };
    Ok(Connected { monitor, events, console, serial, control, vnc, exit, drain })
}

impl Connected {
    /// What the guest said before its hypervisor ended, and was not read yet.
    pub(super) async fn last_said(&mut self) {
        let until = tokio::time::Instant::now() + LAST_SPEECH;
        let mut buffer = [0; 4096];
        while tokio::time::Instant::now() < until
            && let Ok(Ok(length @ 1..)) = tokio::time::timeout(LAST_WORDS, self.serial.read(&mut buffer)).await
        {
            self.console.said(&buffer[..length]);
        }
    }
}

/// The next viewer, or never where the guest has no screen.
pub(super) async fn viewer(listener: Option<&UnixListener>) -> Result<std::os::fd::OwnedFd> {
    match listener {
        Some(listener) => {
            let (stream, _) = listener.accept().await.context(|| "cannot take a viewer".to_owned())?;
            let stream = stream.into_std().context(|| "cannot take a viewer".to_owned())?;
            Ok(stream.into())
        }
        None => std::future::pending().await,
    }
}

fn into_async(stream: std::os::unix::net::UnixStream) -> std::io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
