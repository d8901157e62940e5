#![allow(unsafe_code)]
//! A tool run as a child that can do little: another user, no new privileges, an empty environment, limits, a
//! deadline. It is given open files, not paths: it finds each as `/proc/self/fd/N`.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::interrupt;

/// Descriptors for the child start here, well above the three standard ones.
const FIRST_DESCRIPTOR: RawFd = 10;
/// Open files that a tool may have, its libraries included.
const OPEN_FILES: u64 = 256;
/// Address space, in bytes: what a tool needs for the largest tables that a well-made image has, not more.
const ADDRESS_SPACE: u64 = 4 << 30;
/// Between two looks whether the operator breaks it off.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How much of what a tool says is kept, in bytes.
const WORDS_MAX: usize = 16 << 10;

pub struct Confined {
    program: PathBuf,
    arguments: Vec<OsString>,
    descriptors: Vec<OwnedFd>,
    uid: Option<u32>,
    deadline: Duration,
    hears: Option<Ears>,
    /// Nobody listens to its errors.
    alone: bool,
}

/// What hears a tool's standard output, piece by piece.
type Ears = Box<dyn FnMut(&[u8])>;

/// How it ended. `status` is none where it was killed at its deadline.
#[derive(Debug)]
pub struct Finished {
    pub status: Option<ExitStatus>,
    /// The end of what it said on stderr, trimmed.
    pub words: String,
    /// The operator broke it off.
    pub broken_off: bool,
}

impl Confined {
    pub fn new(program: &Path, deadline: Duration) -> Self {
        Confined {
            program: program.to_owned(),
            arguments: Vec::new(),
            descriptors: Vec::new(),
            uid: None,
            deadline,
            hears: None,
            alone: false,
        }
    }

    pub fn argument(&mut self, argument: impl Into<OsString>) -> &mut Self {
        self.arguments.push(argument.into());
        self
    }

    /// The user (and group of the same number) that the child becomes; none where fief is not root.
    pub fn user(&mut self, uid: Option<u32>) -> &mut Self {
        self.uid = uid;
        self
    }

    /// Has what the child says on its standard output heard; else nobody listens there.
    pub fn hearing(&mut self, hears: impl FnMut(&[u8]) + 'static) -> &mut Self {
        self.hears = Some(Box::new(hears));
        self
    }

    /// Hands an open file to the child, and gives the name that the child opens it by. Opening that name asks for
    /// the child's own right to the file.
    pub fn hand(&mut self, file: impl AsFd) -> io::Result<String> {
        let copy = rustix::io::fcntl_dupfd_cloexec(file, FIRST_DESCRIPTOR)?;
        let name = format!("/proc/self/fd/{}", copy.as_raw_fd());
        self.descriptors.push(copy);
        Ok(name)
    }

    /// The same, by the number that the child has it under: for a socket, which no name opens.
    pub fn hand_number(&mut self, socket: impl AsFd) -> io::Result<RawFd> {
        let copy = rustix::io::fcntl_dupfd_cloexec(socket, FIRST_DESCRIPTOR)?;
        let number = copy.as_raw_fd();
        self.descriptors.push(copy);
        Ok(number)
    }

    /// Starts it and leaves it to itself: its deadline does not count, and nobody hears what it says. It dies with the
    /// calling thread.
    pub fn leave(mut self) -> io::Result<Child> {
        self.alone = true;
        self.start()
    }

    /// Runs it to its end or its deadline. The child is always reaped, and dies with the calling thread.
    pub fn run(mut self) -> io::Result<Finished> {
        let mut child = self.start()?;
        let end = Instant::now() + self.deadline;
        let words = listen(&mut child, end, self.hears.as_mut());
        // Past the deadline, or lost sight of: either way it may not go on.
        if !matches!(words, Ok((_, true))) {
            // A tool leads its own process group: what it started ends with it.
            match rustix::process::kill_process_group(process_id(&child)?, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let status = child.wait()?;
        let (words, ended) = words?;
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        Ok(Finished { status: ended.then_some(status), words, broken_off: !ended && interrupt::check().is_err() })
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(if self.hears.is_some() { Stdio::piped() } else { Stdio::null() })
            .stderr(if self.alone { Stdio::null() } else { Stdio::piped() });
        let descriptors: Vec<RawFd> = self.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let uid = self.uid;
        let parent = rustix::process::getpid().as_raw_nonzero().get();
        // SAFETY: `confine` runs in the child between fork and exec. It makes system calls only: it takes no lock,
        // allocates nothing and reads memory that was copied at the fork.
        unsafe { command.pre_exec(move || confine(&descriptors, uid, parent)) };
        command.spawn()
    }
}

fn process_id(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Reads what the child says until it ends (`true`), or `end` comes or the operator breaks it off (`false`).
fn listen(child: &mut Child, end: Instant, mut hears: Option<&mut Ears>) -> io::Result<(Vec<u8>, bool)> {
    let process = rustix::process::pidfd_open(process_id(child)?, PidfdFlags::empty())?;
    let mut words = Vec::new();
    let (mut errors, mut output) = (child.stderr.take(), child.stdout.take());
    loop {
        let left = end.saturating_duration_since(Instant::now()).min(LOOK_EVERY);
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut watched = vec![PollFd::new(&process, PollFlags::IN)];
        watched.extend(errors.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let of_output = watched.len();
        watched.extend(output.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        match rustix::event::poll(&mut watched, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let speaks = |at: usize| watched.get(at).is_some_and(|pipe| !pipe.revents().is_empty());
        let (ended, cries, says) = (speaks(0), errors.is_some() && speaks(1), output.is_some() && speaks(of_output));
        if cries && let Some(heard) = hear(&mut errors)? {
            words.extend_from_slice(&heard);
            if words.len() > WORDS_MAX {
                words.drain(..words.len() - WORDS_MAX);
            }
        }
        if says
            && let Some(heard) = hear(&mut output)?
            && let Some(hears) = &mut hears
        {
            hears(&heard);
        }
        if ended && !cries && !says {
            return Ok((words, true));
        }
        // An ended child is heard out; a child that only talks is not.
        if Instant::now() >= end || (!ended && interrupt::check().is_err()) {
            return Ok((words, ended));
        }
    }
}

/// What is to be read now; none at the end, where the pipe is closed.
fn hear<R: Read>(pipe: &mut Option<R>) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; 4096];
    let count = match pipe {
        Some(reader) => reader.read(&mut buffer)?,
        None => 0,
    };
    if count == 0 {
        *pipe = None;
        return Ok(None);
    }
    Ok(Some(buffer[..count].to_vec()))
}

fn confine(descriptors: &[RawFd], uid: Option<u32>, parent: i32) -> io::Result<()> {
    let check = |result: libc::c_int| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: plain system calls on numbers and on values that live through the call.
    unsafe {
        // A descriptor that some library left without FD_CLOEXEC does not leak: all get it, then ours lose it.
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
        for descriptor in descriptors {
            check(libc::fcntl(*descriptor, libc::F_SETFD, 0))?;
        }
        for (limit, value) in
            [(libc::RLIMIT_CORE, 0), (libc::RLIMIT_NOFILE, OPEN_FILES), (libc::RLIMIT_AS, ADDRESS_SPACE)]
        {
            check(libc::setrlimit(limit, &libc::rlimit { rlim_cur: value, rlim_max: value }))?;
        }
        if let Some(uid) = uid {
            check(libc::setgroups(0, std::ptr::null()))?;
            check(libc::setresgid(uid, uid, uid))?;
            check(libc::setresuid(uid, uid, uid))?;
        }
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        // After the change of user, which would clear it. A fief that dies must not leave a tool writing.
        check(libc::prctl(libc::PR_SET_PDEATHSIG, Signal::KILL.as_raw(), 0, 0, 0))?;
        if libc::getppid() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn shell(script: &str, deadline: Duration) -> Confined {
        let mut tool = Confined::new(Path::new("/bin/sh"), deadline);
        tool.argument("-c").argument(script);
        tool
    }

    #[test]
    fn a_tool_sees_the_files_that_it_was_handed_and_an_empty_environment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "").unwrap();
        let uid = rustix::process::geteuid().is_root().then_some(1_900_065_000);
        if uid.is_some() {
            std::os::unix::fs::chown(&path, uid, uid).unwrap();
        }
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut tool = Confined::new(Path::new("/bin/sh"), Duration::from_secs(20));
        let name = tool.hand(&file).unwrap();
        tool.user(uid).argument("-c").argument(format!(
            "(id -u; env | sort | tr '\\n' ' '; ulimit -c; grep NoNewPrivs /proc/self/status; ls /proc/self/fd | wc -l) > {name}"
        ));
        let finished = tool.run().unwrap();
        assert!(finished.status.unwrap().success(), "{finished:?}");
        let said = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        let own = file.metadata().unwrap().uid();
        assert_eq!(lines[0], own.to_string());
        assert!(lines[1].starts_with("LC_ALL=C PATH=") && lines[1].ends_with(" 0"), "{said}");
        assert!(lines[2].ends_with('1'), "{said}");
        // The three standard ones, the file, and the one that ls reads the folder by; ls in a pipe of sh.
        assert!(lines[3].trim().parse::<u32>().unwrap() <= 6, "{said}");
    }

    #[test]
    fn a_tool_that_hangs_or_floods_is_killed_at_its_deadline() {
        for script in ["sleep 1000", "yes >&2", "exec 2>&-; sleep 1000"] {
            let start = Instant::now();
            let finished = shell(script, Duration::from_millis(200)).run().unwrap();
            assert!(finished.status.is_none(), "{script}: {finished:?}");
            assert!(finished.words.len() <= WORDS_MAX);
            assert!(start.elapsed() < Duration::from_secs(20));
        }
    }

    #[test]
    fn what_a_tool_says_last_is_kept() {
        let finished = shell("echo first >&2; echo why >&2; exit 3", Duration::from_secs(20)).run().unwrap();
        assert_eq!(finished.status.unwrap().code(), Some(3));
        assert_eq!(finished.words, "first\nwhy");
        assert!(Confined::new(Path::new("/nonexistent/tool"), Duration::from_secs(1)).run().is_err());
    }
}
