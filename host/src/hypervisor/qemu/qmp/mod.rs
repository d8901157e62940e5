//! The monitor: QEMU's machine protocol (QMP, docs/interop/qmp-spec), typed, over a Unix socket.
//!
//! ```text
//!   connect ─▸ greeting ─▸ qmp_capabilities ─▸ ┬─▸ execute: command ─▸ answer or QEMU's own error
//!                                              └─▸ events, in order; the last is Closed
//! ```
//!
//! What QEMU says is input like any other: lines have a limit, every wait a deadline, and whatever is not the protocol
//! ends the connection. The guest does not notice, and the next [`Monitor::connect`] starts anew.

mod command;
mod connection;
pub mod copy;
mod cut;
mod device;
mod grow;
mod live;
pub mod moving;
pub mod rounds;
mod state;
mod wire;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc;

pub use command::{RunState, Version};
pub use grow::Reached;
pub use live::{LISTENS, Live};

use super::{QMP_SOCKET, last_words};
use crate::error::{Context, Failure, Kind, Result};
use crate::hypervisor::Event;
use crate::sys::socket::connect_in;
use command::Command;
use connection::Connection;

/// From the connection to the greeting: QEMU gives it once its machine is built, which takes 50 ms when idle.
const GREETING_WITHIN: Duration = Duration::from_secs(15);
/// For a command: QEMU answers within a millisecond unless its main loop is held up by storage.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Events that wait for the supervisor. It reads them at once; a guest that resets itself in a loop is what fills this.
const EVENTS_MAX: usize = 256;

/// A monitor of one running QEMU. Dropping it ends the connection and nothing else.
#[derive(Debug, Clone)]
pub struct Monitor {
    connection: Arc<Connection>,
}

impl Monitor {
    /// Connects to the QEMU of the domain in `folder` and shakes hands. Also serves as the wait for a QEMU that was just
    /// started: its socket listens before it runs. The events end with [`Event::Closed`].
    ///
    /// # Errors
    /// Where QEMU has ended, with the last lines of its log as causes; `TimedOut` where it does not greet.
    pub async fn connect(folder: &Path) -> Result<(Monitor, mpsc::Receiver<Event>)> {
        let reach = || -> std::io::Result<UnixStream> {
            let stream = connect_in(folder, QMP_SOCKET)?;
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        };
        let stream = reach().context(|| "cannot reach the hypervisor's monitor".into())?;
        match Monitor::over(stream).await {
            Ok(both) => Ok(both),
            Err(mut failure) => {
                failure.causes.extend(last_words(folder));
                Err(failure)
            }
        }
    }

    /// Shakes hands over an open stream.
    pub async fn over(stream: UnixStream) -> Result<(Monitor, mpsc::Receiver<Event>)> {
        Monitor::within(stream, GREETING_WITHIN).await
    }

    async fn within(stream: UnixStream, limit: Duration) -> Result<(Monitor, mpsc::Receiver<Event>)> {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let connection = tokio::time::timeout(limit, Connection::open(stream, sender)).await.map_err(|_| {
            Failure::new(Kind::TimedOut, format!("the hypervisor's monitor did not greet within {limit:?}"))
        })??;
        let monitor = Monitor { connection };
        monitor.execute(&command::Capabilities {}, None).await?;
        Ok((monitor, events))
    }

    /// Whether QEMU may still do something that it was told in vain: a command that took longer than its caller waited.
    pub fn owes(&self) -> bool {
        self.connection.owes()
    }

    /// `query-status`.
    pub async fn status(&self) -> Result<RunState> {
        Ok(self.execute(&command::QueryStatus {}, None).await?.status)
    }
    /// `query-version`.
    pub async fn version(&self) -> Result<Version> {
        Ok(self.execute(&command::QueryVersion {}, None).await?.qemu)
    }
    /// `cont`: lets the guest go.
    pub async fn resume(&self) -> Result<()> {
        self.execute(&command::Cont {}, None).await.map(drop)
    }
    /// `stop`: pauses the guest.
    pub async fn pause(&self) -> Result<()> {
        self.execute(&command::Stop {}, None).await.map(drop)
    }
    /// `system_powerdown`: presses the power button; what the guest makes of it is its own affair.
    pub async fn power_button(&self) -> Result<()> {
        self.execute(&command::SystemPowerdown {}, None).await.map(drop)
    }
    /// `system_reset`: pulls the reset line. A guest that panicked or powered off runs after a [`Monitor::resume`].
    pub async fn reset(&self) -> Result<()> {
        self.execute(&command::SystemReset {}, None).await.map(drop)
    }
    /// `quit`: QEMU flushes its images and ends. That it ended before it answered counts as an answer.
    pub async fn quit(&self) -> Result<()> {
        match self.execute(&command::Quit {}, None).await {
            Err(_) if self.connection.closed() => Ok(()),
            answer => answer.map(drop),
        }
    }
    /// `getfd` and `add_client`: serves VNC to a client that is connected already.
    pub async fn add_vnc_client(&self, client: OwnedFd) -> Result<()> {
        self.execute(&command::GetFd { fdname: "vnc-client" }, Some(client)).await?;
        let add = command::AddClient { protocol: "vnc", fdname: "vnc-client", skipauth: true };
        self.execute(&add, None).await.map(drop)
    }
    /// `add-fd` and `screendump`: writes what the guest shows as a PNG into `file`, which is open for writing only.
    pub async fn screendump(&self, file: OwnedFd) -> Result<()> {
        let set = self.execute(&command::AddFd {}, Some(file)).await?.fdset_id;
        let dump = command::Screendump { filename: format!("/dev/fdset/{set}"), format: "png" };
        let dumped = self.execute(&dump, None).await.map(drop);
        self.execute(&command::RemoveFd { fdset_id: set }, None).await?;
        dumped
    }

    async fn execute<C: Command>(&self, command: &C, descriptor: Option<OwnedFd>) -> Result<C::Answer> {
        self.execute_within(command, descriptor, ANSWER_WITHIN).await
    }

    async fn execute_within<C: Command>(
        &self,
        command: &C,
        descriptor: Option<OwnedFd>,
        limit: Duration,
    ) -> Result<C::Answer> {
        let saying = || format!("the hypervisor did not do {}", C::NAME);
        let answer = self.connection.execute(C::NAME, command, descriptor.as_ref().map(AsFd::as_fd));
        let answer = tokio::time::timeout(limit, answer).await.map_err(|_| {
            Failure::new(Kind::TimedOut, saying())
                .because(std::io::Error::other(format!("no answer in {limit:?}")))
                .hint("it stands still, or waits for its storage, and may do it late; `fief stop` ends it")
        })?;
        let answer = answer.map_err(|error| Failure::other(saying()).because(error))?;
        serde_json::from_value(answer).context(saying)
    }
}

#[cfg(test)]
mod tests;
