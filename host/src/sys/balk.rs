//! System calls that fail on purpose, in processes that a thread of this one starts: the kernel stops each of a few kinds and
//! asks here what is to become of it (SECCOMP_RET_USER_NOTIF, seccomp_unotify(2)). What they are made by is as it always is.
//!
//! ```text
//!   a thread: filter ─ body ─ starts processes, which have the filter too ─ pwrite(2) ──▸ stopped
//!   the caller: told of it ─▸ aimed at this process, and the n-th of its kind? an error : let it go on ─▸
//! ```
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::file_calls::{self, READS, SYNCS, WRITES};

/// How long is waited for a call before it is looked whether the body has ended, in nanoseconds.
const PAUSE: i64 = 20_000_000;

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Reads at a place of a file.
    Reads,
    /// Writes at a place of a file, and what else changes what is in one.
    Writes,
    /// What puts a file's bytes on stable storage.
    Syncs,
    /// All of these, and what opens, lists, makes, renames and removes files, or looks at what is known of them.
    Files,
}

impl Calls {
    fn are(self, number: libc::c_long) -> bool {
        match self {
            Calls::Reads => READS.contains(&number),
            Calls::Writes => WRITES.contains(&number),
            Calls::Syncs => SYNCS.contains(&number),
            Calls::Files => file_calls::all().any(|one| one == number),
        }
    }
}

/// A process, and which of its calls fails.
#[derive(Debug, Clone, Copy)]
struct Aim {
    process: u32,
    calls: Calls,
    /// Counted from 1; none: no call.
    at: Option<u32>,
    error: Errno,
    /// How many there were so far.
    seen: u32,
}

/// Says what fails from now on. Nothing does at first.
#[derive(Debug, Clone, Default)]
pub struct Balk(Arc<Mutex<Option<Aim>>>);

impl Balk {
    fn aim_at(&self) -> MutexGuard<'_, Option<Aim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the calls of that kind are counted, of a process and its threads, and the one of number `at` (from 1) fails.
    pub fn aim(&self, process: u32, calls: Calls, at: Option<u32>, error: Errno) {
        *self.aim_at() = Some(Aim { process, calls, at, error, seen: 0 });
    }

    /// From now on nothing fails. Gives how many such calls there were.
    pub fn rest(&self) -> u32 {
        self.aim_at().take().map_or(0, |aim| aim.seen)
    }

    /// The error that a call ends with; none: it goes on.
    fn judge(&self, process: impl FnOnce() -> Option<u32>, call: libc::c_long) -> Option<Errno> {
        let mut held = self.aim_at();
        let aim = held.as_mut().filter(|aim| aim.calls.are(call))?;
        if process() != Some(aim.process) {
            return None;
        }
        aim.seen = aim.seen.saturating_add(1);
        (aim.at == Some(aim.seen)).then_some(aim.error)
    }
}

/// Runs `body` on a new thread, in which the processes that it starts may be made to fail.
///
/// # Errors
/// Where this kernel, or whoever started this process, has no such filters.
pub fn balking<T: Send>(body: impl FnOnce(&Balk) -> T + Send) -> io::Result<T> {
    let balk = Balk::default();
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let own = balk.clone();
        let work = move || {
            let filter = filter();
            let is_there = filter.is_ok();
            // Whoever listens is there until this thread has ended.
            let _ = tell.send(filter);
            is_there.then(|| body(&own))
        };
        let working = scope.spawn(work);
        let listener = told.recv().map_err(io::Error::other)??;
        let mut known = BTreeMap::new();
        while !working.is_finished() {
            answer(&listener, &balk, &mut known)?;
        }
        match working.join() {
            Ok(done) => done.ok_or_else(|| io::Error::other("a thread did not do its work")),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// This thread, and all that it starts, asks about such calls from here on.
fn filter() -> io::Result<OwnedFd> {
    // linux/audit.h
    #[cfg(target_arch = "x86_64")]
    const ARCHITECTURE: u32 = 0xC000_003E;
    #[cfg(target_arch = "aarch64")]
    const ARCHITECTURE: u32 = 0xC000_00B7;
    const ARCHITECTURE_AT: u32 = std::mem::offset_of!(libc::seccomp_data, arch) as u32;
    const NUMBER_AT: u32 = std::mem::offset_of!(libc::seccomp_data, nr) as u32;
    let load = |at: u32| (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, 0, 0);
    let give = |what: u32| (libc::BPF_RET | libc::BPF_K, what, 0, 0);
    let same = |value: u32, yes: u8, no: u8| (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, yes, no);
    let mut steps =
        vec![load(ARCHITECTURE_AT), same(ARCHITECTURE, 1, 0), give(libc::SECCOMP_RET_ALLOW), load(NUMBER_AT)];
    for number in file_calls::all() {
        steps.extend([same(number as u32, 0, 1), give(libc::SECCOMP_RET_USER_NOTIF)]);
    }
    steps.push(give(libc::SECCOMP_RET_ALLOW));
    let mut program: Vec<libc::sock_filter> =
        steps.into_iter().map(|(code, k, jt, jf)| libc::sock_filter { code: code as u16, jt, jf, k }).collect();
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // Needed by a user who may not administer this host; what is started here gives it up too.
    rustix::thread::set_no_new_privs(true)?;
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // SAFETY: the program is laid out above, and the kernel copies it; the descriptor that comes is nobody else's.
    let listener = unsafe {
        let made = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program);
        if made < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(made as i32)
    };
    Ok(listener)
}

/// Answers the next call that is asked about, if one is before long.
fn answer(listener: &OwnedFd, balk: &Balk, known: &mut BTreeMap<u32, u32>) -> io::Result<()> {
    let pause = Timespec { tv_sec: 0, tv_nsec: PAUSE };
    match rustix::event::poll(&mut [PollFd::new(&listener.as_fd(), PollFlags::IN)], Some(&pause)) {
        Ok(0) | Err(Errno::INTR) => return Ok(()),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    // SAFETY: both are plain data of the sizes that this kernel interface began with, which it keeps to (ioctl(2) has the size in
    // its number); the kernel fills the first, which has to be zeroes before.
    unsafe {
        let mut asked: libc::seccomp_notif = std::mem::zeroed();
        if libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked) != 0 {
            // Whoever asked has ended.
            return Ok(());
        }
        let process = || process_of(asked.pid, known);
        let mut told: libc::seccomp_notif_resp = std::mem::zeroed();
        told.id = asked.id;
        match balk.judge(process, asked.data.nr.into()) {
            Some(error) => told.error = -error.raw_os_error(),
            None => told.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
        }
        // It may have ended meanwhile.
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const told);
    }
    Ok(())
}

/// The process that a thread belongs to; what is known stays so, as long as those that are looked for do not come and go by the
/// thousand.
fn process_of(thread: u32, known: &mut BTreeMap<u32, u32>) -> Option<u32> {
    if let Some(process) = known.get(&thread) {
        return Some(*process);
    }
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
    known.insert(thread, process);
    Some(process)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_call_that_is_aimed_at_fails_and_no_other() {
        let own = std::process::id();
        let file = tempfile::tempfile().unwrap();
        let seen = balking(|balk| {
            let write = |text: &[u8]| file.write_at(text, 0).map_err(|error| error.raw_os_error());
            assert_eq!(write(b"one"), Ok(3));
            balk.aim(own, Calls::Writes, Some(2), Errno::NOSPC);
            assert_eq!((write(b"two"), file.sync_all().is_ok()), (Ok(3), true));
            assert_eq!(write(b"xxx"), Err(Some(libc::ENOSPC)));
            assert_eq!(write(b"six"), Ok(3));
            assert_eq!(balk.rest(), 3);
            balk.aim(own, Calls::Syncs, Some(1), Errno::IO);
            assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(libc::EIO));
            balk.aim(own, Calls::Reads, None, Errno::IO);
            let mut bytes = [0; 3];
            file.read_at(&mut bytes, 0).unwrap();
            assert_eq!(&bytes, b"six");
            assert_eq!(balk.rest(), 1);
            balk.aim(own, Calls::Files, Some(2), Errno::IO);
            let look = || std::fs::metadata("/").map(drop).map_err(|error| error.raw_os_error());
            assert_eq!((write(b"two"), look(), look()), (Ok(3), Err(Some(libc::EIO)), Ok(())));
            balk.aim(own, Calls::Files, Some(2), Errno::IO);
            let link = || rustix::fs::readlinkat(rustix::fs::CWD, "/proc/self/exe", Vec::new()).map(drop);
            assert_eq!((link(), link(), link()), (Ok(()), Err(Errno::IO), Ok(())));
            balk.rest()
        });
        assert_eq!(seen.unwrap(), 3);
    }

    #[test]
    fn it_holds_for_a_process_that_is_started_there_and_for_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (path, child) = (folder.path().join("file"), std::env::current_exe().unwrap());
        File::create(&path).unwrap();
        let run = |balk: &Balk, aimed: bool| {
            let mut command = Command::new(&child);
            command.args(["--exact", "sys::balk::tests::what_a_child_does", "--test-threads=1"]);
            let mut child = command.env("FIEF_TEST_BALK", &path).stdout(std::process::Stdio::null()).spawn().unwrap();
            balk.aim(if aimed { child.id() } else { std::process::id() }, Calls::Syncs, Some(1), Errno::IO);
            child.wait().unwrap().code()
        };
        let ended = balking(|balk| [run(balk, true), run(balk, false)]).unwrap();
        assert_eq!(ended, [Some(5), Some(0)]);
    }

    #[test]
    fn what_a_child_does() {
        let Ok(path) = std::env::var("FIEF_TEST_BALK") else { return };
        // Whoever started it aims meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let synced = File::open(path).unwrap().sync_all();
        std::process::exit(synced.err().and_then(|error| error.raw_os_error()).unwrap_or(0));
    }
}
