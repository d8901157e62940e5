//! Starts a hypervisor as a confined child: between fork and exec it gives up everything that a guest could use.
//!
//! ```text
//!   fork ─▸ session ─▸ descriptors ─▸ namespaces, /dev, read-only tree ─▸ limits ─▸ own uid, no new privileges ─▸ exec
//! ```
//!
//! The parent may have other threads, one of which may hold any lock at the moment of the fork; so the child makes
//! system calls and nothing else (signal-safety(7)): all it needs was laid out before. It says by a pipe, which exec
//! closes, where it failed.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Files that a hypervisor may have open: a disk of many layers and a few dozen clients are far below it.
const FILES_MAX: u64 = 4096;

/// What the child gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confinement {
    /// Its own user and group, no other groups, own mount and IPC namespaces. None: fief is not root and cannot.
    pub user: Option<u32>,
    /// A `/dev/kvm` that its user may open. Only with `user`; without, it depends on the file's mode.
    pub kvm: bool,
    /// The device number of a `/dev/userfaultfd` that its user may open. Only with `user`.
    pub userfaults: Option<libc::dev_t>,
    /// Else an empty network namespace. Only with `user`.
    pub host_network: bool,
    /// `RLIMIT_AS`, in bytes.
    pub address_space: u64,
}

/// A program to start. Its environment is `environment` alone, its folder `/`, its standard input empty.
#[derive(Debug)]
pub struct Program<'a> {
    pub path: &'a Path,
    /// Without the program's own name, which is `path`.
    pub arguments: &'a [String],
    pub environment: &'a [String],
    /// Standard output and standard error.
    pub log: BorrowedFd<'a>,
    /// `descriptors[i]` becomes number `first + i`; no other is open in the child.
    pub descriptors: &'a [OwnedFd],
    pub first: RawFd,
    pub confinement: Confinement,
}

/// What the child was doing when the system said no.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct SpawnError {
    pub step: &'static str,
    #[source]
    pub source: io::Error,
}

/// Steps of the child, in order; the pipe carries an index into this.
const STEPS: [&str; 14] = [
    "cannot fork",
    "cannot start a session",
    "cannot place its descriptors",
    "cannot make its own namespaces",
    "cannot keep its mounts to itself",
    "cannot make its own /dev",
    "cannot make its device nodes",
    "cannot make its file tree read-only",
    "cannot set its limits",
    "cannot forbid new privileges",
    "cannot give up groups",
    "cannot take its own group",
    "cannot take its own user",
    "cannot execute the program",
];

/// Forks and executes. When this returns, the program runs (its image is loaded), as a child to be waited for.
///
/// # Errors
/// What the child could not do; then it is gone and collected.
pub fn spawn(program: &Program<'_>) -> Result<u32, SpawnError> {
    let fail = |source: io::Error| SpawnError { step: STEPS[0], source };
    let invalid = |_| fail(io::Error::new(io::ErrorKind::InvalidInput, "an argument holds a NUL byte"));
    let path = CString::new(program.path.as_os_str().as_bytes()).map_err(invalid)?;
    let strings = |texts: &[String]| texts.iter().map(|t| CString::new(t.as_str())).collect::<Result<Vec<_>, _>>();
    let arguments = strings(program.arguments).map_err(invalid)?;
    let environment = strings(program.environment).map_err(invalid)?;
    let argv = pointers(std::iter::once(path.as_c_str()).chain(arguments.iter().map(CString::as_c_str)));
    let envp = pointers(environment.iter().map(CString::as_c_str));
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(|e| fail(e.into()))?;
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| fail(e.into()))?;
    // Standard streams, then the program's own, then the pipe: raised out of the way first, then put in place.
    let mut raised: Vec<RawFd> = [null.as_raw_fd(), program.log.as_raw_fd(), program.log.as_raw_fd()]
        .into_iter()
        .chain(program.descriptors.iter().map(AsRawFd::as_raw_fd))
        .chain([writer.as_raw_fd()])
        .collect();

    // SAFETY: the child only makes system calls on memory laid out above, and ends in exec or _exit.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(fail(io::Error::last_os_error()));
    }
    if pid == 0 {
        // SAFETY: this is the child of the fork just above; the pointers live in this frame.
        unsafe { child(&path, &argv, &envp, &mut raised, program.first, program.confinement) }
    }
    drop(writer);
    let mut report = [0; 8];
    let told = std::fs::File::from(reader).read_exact(&mut report);
    if told.is_err() {
        // The pipe closed without a word: exec took place.
        return Ok(pid.cast_unsigned());
    }
    let mut status = 0;
    // SAFETY: waits for the child made above, which nobody else knows of.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    let (step, errno) = (report[0] as usize, i32::from_ne_bytes([report[4], report[5], report[6], report[7]]));
    Err(SpawnError { step: STEPS.get(step).unwrap_or(&STEPS[0]), source: io::Error::from_raw_os_error(errno) })
}

fn pointers<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const libc::c_char> {
    strings.map(CStr::as_ptr).chain([std::ptr::null()]).collect()
}

/// # Safety
/// Call in the child of a fork only. `argv` and `envp` end in null.
unsafe fn child(
    path: &CStr,
    argv: &[*const libc::c_char],
    envp: &[*const libc::c_char],
    raised: &mut [RawFd],
    first: RawFd,
    confinement: Confinement,
) -> ! {
    // SAFETY: system calls on valid memory only; see the callees.
    unsafe {
        let step = match become_program(raised, first, confinement) {
            Ok(()) => {
                libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr());
                STEPS.len() - 1
            }
            Err(step) => step,
        };
        let pipe = raised[raised.len() - 1];
        let mut report = [0u8; 8];
        report[0] = step as u8;
        report[4..].copy_from_slice(&(*libc::__errno_location()).to_ne_bytes());
        libc::write(pipe, report.as_ptr().cast(), report.len());
        libc::_exit(127)
    }
}

/// All steps up to exec; the error is the index of the step that failed, with `errno` as the system left it.
unsafe fn become_program(raised: &mut [RawFd], first: RawFd, confinement: Confinement) -> Result<(), usize> {
    // SAFETY: system calls with constants, numbers and NUL-terminated literals.
    unsafe {
        for signal in 1..32 {
            // Handlers go with exec; what fief ignores would stay ignored. KILL and STOP cannot be set, which is right.
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        done(libc::setsid(), 1)?;
        place(raised, first)?;
        if let Some(user) = confinement.user {
            own_room(user, confinement)?;
        }
        limit(libc::RLIMIT_CORE, 0)?;
        limit(libc::RLIMIT_NOFILE, FILES_MAX)?;
        limit(libc::RLIMIT_AS, confinement.address_space)?;
        done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 9)?;
        if let Some(user) = confinement.user {
            // Capabilities past the last one of this kernel are refused (EINVAL), which is right.
            for capability in 0..64 {
                libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
            }
            // The bare system calls: the C library's wrappers would look for other threads. Leaving root clears all
            // capabilities (capabilities(7)), and no_new_privs keeps them away.
            done(libc::syscall(libc::SYS_setgroups, 0usize, std::ptr::null::<libc::gid_t>()), 10)?;
            done(libc::syscall(libc::SYS_setresgid, user, user, user), 11)?;
            done(libc::syscall(libc::SYS_setresuid, user, user, user), 12)?;
        }
        libc::umask(0o077);
        libc::chdir(c"/".as_ptr());
    }
    Ok(())
}

/// Gives each descriptor its number: 0, 1, 2, then `first` and on. All others are closed, at the latest by exec.
unsafe fn place(raised: &mut [RawFd], first: RawFd) -> Result<(), usize> {
    let last = raised.len() - 1;
    let end = first + (last - 3) as RawFd;
    // SAFETY: system calls on numbers.
    unsafe {
        for descriptor in raised.iter_mut() {
            *descriptor = done(libc::fcntl(*descriptor, libc::F_DUPFD_CLOEXEC, end.max(3)), 2)? as RawFd;
        }
        for (index, descriptor) in raised[..last].iter().enumerate() {
            let number = if index < 3 { index as RawFd } else { first + (index - 3) as RawFd };
            done(libc::dup2(*descriptor, number), 2)?;
        }
        if first > 3 {
            done(libc::syscall(libc::SYS_close_range, 3, first - 1, 0), 2)?;
        }
        done(libc::syscall(libc::SYS_close_range, end.max(3), libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC), 2)?;
    }
    Ok(())
}

/// Own mounts, IPC and network; a `/dev` of five to seven nodes; nothing in the tree can be written through its path.
unsafe fn own_room(user: u32, confinement: Confinement) -> Result<(), usize> {
    const WORLD: libc::mode_t = libc::S_IFCHR | 0o666;
    let network = if confinement.host_network { 0 } else { libc::CLONE_NEWNET };
    // SAFETY: system calls with constants and NUL-terminated literals.
    unsafe {
        done(libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWIPC | network), 3)?;
        let none = std::ptr::null::<libc::c_char>();
        done(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, std::ptr::null()), 4)?;
        let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
        let options = c"mode=0755,size=64k".as_ptr().cast();
        done(libc::mount(c"tmpfs".as_ptr(), c"/dev".as_ptr(), c"tmpfs".as_ptr(), flags, options), 5)?;
        libc::umask(0);
        // Numbers of the kernel's Documentation/admin-guide/devices.txt.
        for (name, major, minor) in [
            (c"/dev/null", 1, 3),
            (c"/dev/zero", 1, 5),
            (c"/dev/full", 1, 7),
            (c"/dev/random", 1, 8),
            (c"/dev/urandom", 1, 9),
        ] {
            done(libc::mknod(name.as_ptr(), WORLD, libc::makedev(major, minor)), 6)?;
        }
        if confinement.kvm {
            let kvm = c"/dev/kvm".as_ptr();
            done(libc::mknod(kvm, libc::S_IFCHR | 0o600, libc::makedev(10, 232)), 6)?;
            done(libc::chown(kvm, user, user), 6)?;
        }
        if let Some(number) = confinement.userfaults {
            let userfaults = c"/dev/userfaultfd".as_ptr();
            done(libc::mknod(userfaults, libc::S_IFCHR | 0o600, number), 6)?;
            done(libc::chown(userfaults, user, user), 6)?;
        }
        // What it writes to, it was handed; descriptors keep the mount that they were opened through.
        let attributes =
            MountAttributes { set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, clear: 0, propagation: 0, userns: 0 };
        let recursive = libc::AT_RECURSIVE;
        let size = size_of::<MountAttributes>();
        let root = c"/".as_ptr();
        done(libc::syscall(libc::SYS_mount_setattr, libc::AT_FDCWD, root, recursive, &raw const attributes, size), 7)?;
    }
    Ok(())
}

/// `struct mount_attr` (mount_setattr(2), Linux 5.12).
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}
const MOUNT_ATTR_RDONLY: u64 = 0x1;
const MOUNT_ATTR_NOSUID: u64 = 0x2;

/// Lowers a limit, soft and hard; one that is lower already stays.
unsafe fn limit(which: libc::__rlimit_resource_t, maximum: u64) -> Result<(), usize> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls take a valid structure.
    unsafe {
        done(libc::getrlimit(which, &raw mut now), 8)?;
        let wanted = libc::rlimit { rlim_cur: maximum.min(now.rlim_max), rlim_max: maximum.min(now.rlim_max) };
        done(libc::setrlimit(which, &raw const wanted), 8)?;
    }
    Ok(())
}

/// A system call's answer, or the step's index where it is negative.
fn done(answer: impl Into<i64>, step: usize) -> Result<i64, usize> {
    let answer = answer.into();
    if answer < 0 { Err(step) } else { Ok(answer) }
}
