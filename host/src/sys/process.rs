//! Processes that outlive a command: told apart by number *and* start time, signalled and awaited through a pidfd, so
//! that a number which was given out again is never hit.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::gate::operation::ProcessId;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// It is gone, and was not this process's child (or somebody else collected it).
    Unknown,
}

/// Field 22 of `/proc/PID/stat` (proc(5)), in clock ticks since boot; none where there is no such process.
pub fn start_time(pid: u32) -> Option<u64> {
    Some(stat(pid)?.1)
}

/// Whether it is there and has not ended (a zombie has).
pub fn alive(process: ProcessId) -> bool {
    matches!(stat(process.pid), Some((state, start)) if start == process.start_time && !matches!(state, 'Z' | 'X'))
}

/// Sends `signal`. False: there is no such process any more.
pub fn kill(process: ProcessId, signal: Signal) -> io::Result<bool> {
    let Some(pidfd) = open(process)? else { return Ok(false) };
    match pidfd_send_signal(&pidfd, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits until it has ended, at most `limit`, and collects it where it is a child. None: it still runs.
pub fn wait_exit(process: ProcessId, limit: Duration) -> io::Result<Option<Exit>> {
    let Some(pidfd) = open(process)? else { return Ok(Some(Exit::Unknown)) };
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(collect(&pidfd))),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Resolves when it has ended, and collects it where it is a child. Needs a tokio runtime with I/O.
pub async fn exited(process: ProcessId) -> io::Result<Exit> {
    let Some(pidfd) = open(process)? else { return Ok(Exit::Unknown) };
    // SAFETY: an OwnedFd stays the same open descriptor until the AsyncFd, which owns it, lets it go.
    let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?;
    let _ = pidfd.readable().await?;
    Ok(collect(pidfd.get_ref()))
}

fn open(process: ProcessId) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        // EINVAL: the number now belongs to a thread.
        Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Checked with the pidfd in hand: from here on it is this process or none.
    Ok((start_time(process.pid) == Some(process.start_time)).then_some(pidfd))
}

fn collect(pidfd: &OwnedFd) -> Exit {
    use std::os::fd::AsFd;
    match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        },
        Ok(None) | Err(_) => Exit::Unknown,
    }
}

/// State letter and start time. The second field (the program's name, in parentheses) may hold anything.
fn stat(pid: u32) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> (std::process::Child, ProcessId) {
        let child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = ProcessId { pid: child.id(), start_time: start_time(child.id()).unwrap() };
        (child, process)
    }

    #[test]
    fn a_process_is_killed_once_and_its_end_is_told() {
        let (_child, process) = sleeper();
        assert!(alive(process));
        assert_eq!(wait_exit(process, Duration::from_millis(1)).unwrap(), None);
        assert!(kill(process, Signal::KILL).unwrap());
        assert_eq!(wait_exit(process, Duration::from_secs(5)).unwrap(), Some(Exit::Signal(9)));
        assert!(!alive(process));
        assert!(!kill(process, Signal::KILL).unwrap());
        assert_eq!(wait_exit(process, Duration::from_secs(5)).unwrap(), Some(Exit::Unknown));
    }

    #[test]
    fn a_number_given_out_again_is_not_hit() {
        let (mut child, process) = sleeper();
        let earlier = ProcessId { start_time: process.start_time - 1, ..process };
        assert!(!alive(earlier));
        assert!(!kill(earlier, Signal::KILL).unwrap());
        assert!(alive(process));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn the_end_is_heard_asynchronously() {
        let mut child = std::process::Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
        let process = ProcessId { pid: child.id(), start_time: start_time(child.id()).unwrap() };
        assert_eq!(exited(process).await.unwrap(), Exit::Code(7));
        assert!(child.wait().is_err(), "it was collected already");
    }
}
