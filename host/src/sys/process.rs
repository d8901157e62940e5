//! Processes told apart by number *and* start time, so that a number which the kernel gave out again is never mistaken.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

use crate::types::ProcessId;

/// /proc/PID/stat (proc(5)); none where there is no such process.
///
/// # Errors
/// Where it cannot be read, which says nothing of whether there is one.
fn stat(pid: u32) -> io::Result<Option<String>> {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // It ended between the opening and the reading.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Its field 22, in clock ticks since boot; none where there is no such process, or it is dead and only waits to be
/// reaped.
fn look(pid: u32) -> io::Result<Option<u64>> {
    let Some(stat) = stat(pid)? else { return Ok(None) };
    let dead = fields(&stat).and_then(|mut fields| fields.next()).is_none_or(|state| matches!(state, "Z" | "X"));
    Ok(if dead { None } else { started(&stat) })
}

/// The same; none, too, where it cannot be read.
pub fn start_time(pid: u32) -> Option<u64> {
    look(pid).ok().flatten()
}

/// As [`start_time`], of one that may have ended and waits to be collected.
pub fn began(pid: u32) -> Option<u64> {
    started(&stat(pid).ok().flatten()?)
}

/// The fields from the third on. The name, field 2, may hold blanks and parentheses; what follows its last `)` does not.
fn fields(stat: &str) -> Option<std::str::SplitAsciiWhitespace<'_>> {
    Some(stat.rsplit_once(')')?.1.split_ascii_whitespace())
}

fn started(stat: &str) -> Option<u64> {
    fields(stat)?.nth(19)?.parse().ok()
}

/// Processor time that a process spent, user and system (fields 14 and 15 of /proc/PID/stat).
pub fn cpu_time(process: ProcessId) -> Option<std::time::Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).ok()?;
    let mut fields = fields(&stat)?;
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second();
    Some(std::time::Duration::from_millis((user + system) * 1000 / ticks))
}

/// What a process writes down of itself, by which others find out later whether it is still there.
struct Itself {
    process: ProcessId,
    boot: String,
}

static ITSELF: OnceLock<Itself> = OnceLock::new();

impl Itself {
    fn read() -> io::Result<Itself> {
        let pid = std::process::id();
        let start_time = look(pid)?.ok_or_else(|| io::Error::other("/proc shows this process as none"))?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Itself { process: ProcessId { pid, start_time }, boot })
    }
}

/// To be called before anything is written: whoever does not know itself would be taken for one that is gone.
pub fn know_itself() -> io::Result<()> {
    if ITSELF.get().is_none() {
        let _ = ITSELF.set(Itself::read()?);
    }
    Ok(())
}

/// This process.
pub fn this() -> ProcessId {
    let unknown = || ProcessId { pid: std::process::id(), start_time: 0 };
    know_itself().ok().and_then(|()| ITSELF.get()).map_or_else(unknown, |itself| itself.process)
}

/// The run of the kernel (/proc/sys/kernel/random/boot_id): process and link numbers mean nothing in another.
pub fn boot_id() -> String {
    know_itself().ok().and_then(|()| ITSELF.get()).map(|itself| itself.boot.clone()).unwrap_or_default()
}

/// The process that has this number now; none where there is none.
pub fn identify(pid: u32) -> Option<ProcessId> {
    start_time(pid).map(|start_time| ProcessId { pid, start_time })
}

/// Whether it goes on. One that cannot be looked at is not taken for gone.
pub fn alive(process: ProcessId) -> bool {
    look(process.pid).map_or(true, |start| start == Some(process.start_time))
}

/// Sends a signal to just that process. `false`: it is gone already.
pub fn kill(process: ProcessId, signal: Signal) -> std::io::Result<bool> {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
    let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => descriptor,
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    // The descriptor now holds whichever process has the number; only then is the start time worth a look.
    if look(process.pid)? != Some(process.start_time) {
        return Ok(false);
    }
    match pidfd_send_signal(&descriptor, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A descriptor that becomes readable when that process ends (pidfd_open(2)).
pub fn open(process: ProcessId) -> std::io::Result<OwnedFd> {
    let gone = || std::io::Error::from(rustix::io::Errno::SRCH);
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
    // A dead child that waits to be reaped keeps its number and can be watched too.
    match stat(process.pid)? {
        Some(stat) if started(&stat) == Some(process.start_time) => Ok(descriptor),
        Some(_) | None => Err(gone()),
    }
}

/// The same for a tokio loop.
pub fn watch(process: ProcessId) -> std::io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    let descriptor = open(process)?;
    // SAFETY: the descriptor is owned by the `AsyncFd` from here on, and an `OwnedFd` always gives the same one.
    #[allow(unsafe_code)]
    unsafe {
        tokio::io::unix::AsyncFd::register(descriptor).map_err(Into::into)
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// It is gone, and was not this process's child (or somebody else collected it).
    Unknown,
}

/// Reaps a child that has ended: its exit code, or 128 + the signal that ended it. None where it is no child of ours,
/// or has not ended.
pub fn exit_code(process: ProcessId) -> Option<i32> {
    match collect(process) {
        Exit::Code(code) => Some(code),
        Exit::Signal(signal) => Some(128 + signal),
        Exit::Unknown => None,
    }
}

fn collect(process: ProcessId) -> Exit {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Exit::Unknown };
    match waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(Some((_, status))) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        },
        Ok(None) | Err(_) => Exit::Unknown,
    }
}

/// Waits until it has ended, at most `limit`, and collects it where it is a child. None: it still runs.
pub fn wait_exit(process: ProcessId, limit: Duration) -> io::Result<Option<Exit>> {
    Ok(ended(process, limit)?.then(|| collect(process)))
}

/// Resolves when it has ended, and collects it where it is a child. Needs a tokio runtime with I/O.
pub async fn exited(process: ProcessId) -> io::Result<Exit> {
    match watch(process) {
        Ok(descriptor) => {
            let _ = descriptor.readable().await?;
            Ok(collect(process))
        }
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(Exit::Unknown),
        Err(error) => Err(error),
    }
}

/// The program to start for another process of fief: this one; tests, which are another program, name it in
/// `FIEF_EXECUTABLE`.
pub fn executable() -> PathBuf {
    let named = std::env::var_os("FIEF_EXECUTABLE").filter(|path| !path.is_empty());
    named.map_or_else(|| "/proc/self/exe".into(), Into::into)
}

static SANDBOX: OnceLock<PathBuf> = OnceLock::new();

/// The program to start for a sandbox.
pub fn sandbox_executable() -> PathBuf {
    SANDBOX.get_or_init(executable).clone()
}

/// Another than [`executable`] is one, in a test. The first word stays.
pub fn use_sandbox_executable(path: PathBuf) {
    let _ = SANDBOX.set(path);
}

/// Standard output as a file of its own; what stood at its number is /dev/null from now on.
pub fn take_stdout() -> std::io::Result<std::fs::File> {
    let stdout = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(std::fs::File::options().write(true).open("/dev/null")?)?;
    Ok(stdout.into())
}

/// Waits until `descriptor` has something to read, or its other side is closed. `false`: not within `patience`.
pub fn readable(descriptor: &impl std::os::fd::AsFd, patience: std::time::Duration) -> std::io::Result<bool> {
    let mut watched = [rustix::event::PollFd::new(descriptor, rustix::event::PollFlags::IN)];
    let patience = rustix::event::Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    loop {
        match rustix::event::poll(&mut watched, Some(&patience)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until the process has ended, and leaves its status to its parent; false where it still lives after `limit`.
pub fn ended(process: ProcessId, limit: Duration) -> io::Result<bool> {
    match open(process) {
        Ok(descriptor) => readable(&descriptor, limit),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Asks with SIGTERM, waits `grace`, then ends it with SIGKILL. One that is gone is done; a child of this process is
/// reaped.
///
/// # Errors
/// `TimedOut` where it is still there two seconds after SIGKILL (it hangs in the kernel).
pub fn end(process: ProcessId, grace: Duration) -> io::Result<()> {
    let mut gone = !kill(process, Signal::TERM)? || ended(process, grace)?;
    if !gone {
        kill(process, Signal::KILL)?;
        gone = ended(process, Duration::from_secs(2))?;
    }
    if !gone {
        return Err(io::Error::new(io::ErrorKind::TimedOut, format!("process {} does not end", process.pid)));
    }
    // The number is free only once it is reaped: where the start time is another's by now, this was no child of ours.
    if open(process).is_ok() {
        exit_code(process);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_until_it_ends_and_its_number_alone_is_not_enough() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = identify(child.id()).unwrap();
        assert!(alive(process));
        let earlier = ProcessId { start_time: process.start_time - 1, ..process };
        assert!(!alive(earlier));
        assert!(!kill(earlier, Signal::KILL).unwrap());
        assert!(kill(process, Signal::KILL).unwrap());
        child.wait().unwrap();
        assert!(!alive(process));
        assert!(!kill(process, Signal::KILL).unwrap());
    }

    #[test]
    fn a_process_that_ignores_the_request_is_ended_and_reaped() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let process = identify(child.id()).unwrap();
        assert!(!ended(process, Duration::from_millis(1)).unwrap());
        end(process, Duration::from_millis(50)).unwrap();
        assert!(open(process).is_err(), "a dead child is left");
        assert!(ended(process, Duration::ZERO).unwrap());
        end(process, Duration::ZERO).unwrap();
        // Its status was taken; the standard library is told so by an error that says nothing of interest.
        let _ = child.wait();
    }
}
