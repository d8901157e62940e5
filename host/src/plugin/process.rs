//! A sandbox process, as its parent sees it: started, talked to, ended.

use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::error::{Context, Failure, Kind, Result};
use crate::sandbox::protocol::wire::Wire;
use crate::sandbox::protocol::{FromSandbox, ToSandbox};
use crate::sys::confine::{self, Life, Room};

/// A sandbox that does not take what it is sent within this time is stuck: it reads before all else.
const SEND_WAIT: Duration = Duration::from_secs(10);
/// How long a sandbox may take to end once it closed its socket.
const END_WAIT: Duration = Duration::from_secs(1);

/// Sandboxes are started from `path` from here on, in a program that is not fief itself: a test. The first word stays.
pub fn use_executable(path: impl Into<PathBuf>) {
    crate::sys::process::use_sandbox_executable(path.into());
}

/// Dropping it ends the process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    wire: Wire,
}

impl Process {
    /// Starts a sandbox as the user `uid` (none: as the user that this process is). It lives no longer than the
    /// calling thread.
    pub fn start(uid: Option<u32>) -> Result<Process> {
        let saying = || String::from("cannot start a sandbox");
        let (here, there) = UnixStream::pair().context(saying)?;
        here.set_write_timeout(Some(SEND_WAIT)).context(saying)?;
        let child =
            confine::spawn(&crate::sys::process::sandbox_executable(), Room::Sandbox, there, uid, Life::OfItsParent)
                .context(saying)?;
        Ok(Process { child, wire: Wire::new(here) })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// # Errors
    /// `PluginFault` where the sandbox is gone or does not read.
    pub fn send(&mut self, frame: &ToSandbox, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        self.wire.send(frame, descriptors).map_err(|error| self.lost(&error))
    }

    /// The next frame.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `PluginFault` where the sandbox ended or sent what is no frame.
    pub fn receive(&mut self, deadline: Instant) -> Result<FromSandbox> {
        match self.wire.receive_by(deadline) {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(self.lost(&ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends the process if it has not ended, and waits for that.
    pub fn end(mut self) {
        self.kill();
    }

    fn kill(&mut self) {
        // Both fail only where the process has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What became of a sandbox whose socket failed. It is dead after this.
    fn lost(&mut self, error: &std::io::Error) -> Failure {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                self.kill();
                Failure::new(Kind::TimedOut, "the sandbox did not answer in time and was ended")
            }
            ErrorKind::InvalidData => {
                self.kill();
                Failure::new(Kind::PluginFault, "the sandbox sent what is no frame of the protocol").because(error)
            }
            _ => {
                let deadline = Instant::now() + END_WAIT;
                let status = loop {
                    match self.child.try_wait() {
                        Ok(Some(status)) => break Some(status),
                        Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
                        Ok(None) | Err(_) => break None,
                    }
                };
                self.kill();
                let how = match status {
                    None => String::from("it closed its socket and did not end"),
                    Some(status) => match (status.signal(), status.code()) {
                        (Some(libc::SIGSYS), _) => "it tried a system call that ends a sandbox".into(),
                        (Some(signal), _) => format!("signal {signal} ended it"),
                        (None, Some(code)) => format!("it ended with code {code}"),
                        (None, None) => format!("it ended ({status})"),
                    },
                };
                let mut failure = Failure::new(Kind::PluginFault, "the sandbox of the plugin ended");
                failure.causes.push(how);
                failure
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
