//! The start of a process that has lost what it must not have before its first instruction of ours runs.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySets, Gid, Uid, UnshareFlags};

/// Descriptors that a sandbox may hold: the control socket, what it was handed, and files of one plugin.
const DESCRIPTORS_MAX: u64 = 256;

/// Address space that a fetching process may fill, in bytes: the largest plugin some times over, while its buffer grows.
const FETCHING_MEMORY: u64 = 512 << 20;

/// What is done in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// `fief sandbox`: one plugin runs, without a network.
    Sandbox,
    /// `fief fetch`: servers are asked. It writes no file and fills no more than so much memory.
    Fetching,
}

/// How long a sandbox lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It dies with the thread that starts it.
    OfItsParent,
    /// It serves a guest, which outlives whoever started both.
    OfItsOwn,
}

/// Starts `executable sandbox`, or `executable fetch`. Its standard input is `control`; it has no other descriptor, no
/// environment and no terminal.
///
/// `uid`: the user that it becomes, with a group of the same number and no others. It then also gets network (a sandbox),
/// IPC and UTS namespaces of its own, and an empty capability bounding set; that needs root. None: it stays as it is.
pub fn spawn(executable: &Path, room: Room, control: UnixStream, uid: Option<u32>, life: Life) -> io::Result<Child> {
    // Opened here, so that the sandbox's user need not be able to walk to it.
    let program = OwnedFd::from(std::fs::File::open(executable)?);
    let parent = rustix::process::getpid();
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command
        .arg0("fief")
        .arg(match room {
            Room::Sandbox => "sandbox",
            Room::Fetching => "fetch",
        })
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(control)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // SAFETY: `confine` runs between fork and exec. It makes system calls only: no memory is allocated, no lock is
    // taken, and nothing of the parent's is changed.
    unsafe {
        command.pre_exec(move || confine(parent, room, uid, life));
    }
    command.spawn()
}

/// In the child, between fork and exec. The order matters: what needs root comes before root is given up, and the
/// parent-death signal after, because a change of user clears it (prctl(2)).
fn confine(parent: Pid, room: Room, uid: Option<u32>, life: Life) -> io::Result<()> {
    rustix::process::setsid()?;
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, DESCRIPTORS_MAX)?;
    let network = match room {
        Room::Sandbox => UnshareFlags::NEWNET,
        Room::Fetching => {
            limit(Resource::Data, FETCHING_MEMORY)?;
            limit(Resource::Fsize, 0)?;
            UnshareFlags::empty()
        }
    };
    if let Some(uid) = uid {
        // SAFETY: of these namespaces none shares memory or descriptors with another thread; this process has one.
        unsafe {
            rustix::thread::unshare_unsafe(network | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS)?;
        }
        empty_bounding_set()?;
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)?;
    }
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: rustix::thread::CapabilitySet::empty(),
            permitted: rustix::thread::CapabilitySet::empty(),
            inheritable: rustix::thread::CapabilitySet::empty(),
        },
    )?;
    rustix::thread::set_no_new_privs(true)?;
    match life {
        Life::OfItsOwn => {}
        Life::OfItsParent => {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            if rustix::process::getppid() != Some(parent) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }
    // SAFETY: close_range(2) with CLOSE_RANGE_CLOEXEC only marks descriptors; it closes none that is in use here.
    match unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let value = Some(value);
    let current = rustix::process::getrlimit(resource);
    let least = |old: Option<u64>| old.map_or(value, |old| value.map(|new| new.min(old)));
    let wanted = Rlimit { current: least(current.current), maximum: least(current.maximum) };
    Ok(rustix::process::setrlimit(resource, wanted)?)
}

/// Takes every capability that this kernel knows out of the bounding set (capabilities(7)).
fn empty_bounding_set() -> io::Result<()> {
    for number in 0..64 {
        // SAFETY: this operation of prctl(2) takes a number and touches no memory.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) } == -1 {
            let error = io::Error::last_os_error();
            // EINVAL: past the last capability of this kernel.
            return if error.raw_os_error() == Some(libc::EINVAL) && number > 0 { Ok(()) } else { Err(error) };
        }
    }
    Ok(())
}
