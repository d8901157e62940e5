//! Other processes, held by pidfd (pidfd_open(2)) and told apart by their start time, so that a number which was
//! given to another process in between is never mistaken for the one that was meant.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

use crate::types::ProcessId;

/// State and start time (fields 3 and 22 of /proc/PID/stat; proc(5)). The name in field 2 may hold anything, so that
/// fields are counted from its last parenthesis.
fn stat(text: &str) -> Option<(char, u64)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some((state, start_time))
}

/// When a process started, in clock ticks since boot; none where there is none with that number, or it has ended and
/// only waits for its parent to notice.
pub fn start_time(pid: u32) -> Option<u64> {
    let (state, start_time) = stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    match state {
        'Z' | 'X' => None,
        _ => Some(start_time),
    }
}

/// The name of the process that has the number `pid` now.
pub fn identify(pid: u32) -> Option<ProcessId> {
    Some(ProcessId { pid, start_time: start_time(pid)? })
}

pub fn alive(process: ProcessId) -> bool {
    start_time(process.pid) == Some(process.start_time)
}

/// A hold on a process that lives; none where it is gone.
fn hold(process: ProcessId) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => descriptor,
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Checked after the hold: from here on the number cannot pass to another process unnoticed.
    Ok(alive(process).then_some(descriptor))
}

/// Sends a signal; false where the process is gone.
pub fn kill(process: ProcessId, signal: Signal) -> io::Result<bool> {
    match hold(process)? {
        None => Ok(false),
        Some(descriptor) => match pidfd_send_signal(descriptor, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        },
    }
}

/// Waits until the process has ended, and leaves its status to its parent; false where it still lives after `limit`.
pub fn ended(process: ProcessId, limit: Duration) -> io::Result<bool> {
    match hold(process)? {
        None => Ok(true),
        Some(descriptor) => readable(&descriptor, limit),
    }
}

/// [`ended`], and takes the status of one that is a child of this process and that nothing else waits for.
pub fn wait_gone(process: ProcessId, limit: Duration) -> io::Result<bool> {
    let Some(descriptor) = hold(process)? else { return Ok(true) };
    let gone = readable(&descriptor, limit)?;
    if gone && let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) {
        // Another's child is not ours to reap (ECHILD).
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
    Ok(gone)
}

/// A pidfd is readable once its process has ended.
fn readable(descriptor: &OwnedFd, limit: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Asks with SIGTERM, waits `grace`, then ends it with SIGKILL. A process that is gone is done.
///
/// # Errors
/// `TimedOut` where it is still there two seconds after SIGKILL (it hangs in the kernel).
pub fn end(process: ProcessId, grace: Duration) -> io::Result<()> {
    if !kill(process, Signal::TERM)? || wait_gone(process, grace)? {
        return Ok(());
    }
    kill(process, Signal::KILL)?;
    if wait_gone(process, Duration::from_secs(2))? {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("process {} does not end", process.pid)))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(stat(&format!("7 (a) b (c) {fields}")), Some(('S', 4242)));
        assert_eq!(stat("7 (short) S 1 2"), None);
        assert_eq!(stat(""), None);
    }

    #[test]
    fn a_process_is_told_from_a_later_one_by_its_start_time() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = identify(child.id()).unwrap();
        assert!(alive(process));
        let other = ProcessId { start_time: process.start_time + 1, ..process };
        assert!(!alive(other));
        assert!(!kill(other, Signal::KILL).unwrap());
        assert!(wait_gone(other, Duration::from_secs(9)).unwrap());
        assert!(!wait_gone(process, Duration::from_millis(1)).unwrap());
        end(process, Duration::from_secs(5)).unwrap();
        assert!(!alive(process));
        assert!(!kill(process, Signal::TERM).unwrap());
        let _ = child.wait();
    }

    #[test]
    fn a_process_that_ignores_the_request_is_ended() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let process = identify(child.id()).unwrap();
        end(process, Duration::from_millis(50)).unwrap();
        assert!(!alive(process));
        let _ = child.wait();
    }
}
