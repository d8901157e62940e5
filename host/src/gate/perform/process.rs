//! The hypervisor's process: started confined (sys/spawn.rs), found again by its start time or by a mark in its
//! environment, ended for good.
//!
//! It outlives the supervisor that started it, so nothing here ties the one's life to the other's.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use super::{Done, Gate, Operation, Outcome};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::operation::{HypervisorCommand, ProcessId};
use crate::sys::machine;
use crate::sys::process::{self, Exit};
use crate::sys::spawn::{Confinement, Program, SpawnError, spawn};

/// Number of the first descriptor that is handed over; `hypervisor::FIRST_DESCRIPTOR` says the same to drivers.
const FIRST_DESCRIPTOR: i32 = 10;
/// How long a killed hypervisor may take to be gone: its memory has to be given back, and its last writes finish.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// Address space beyond twice the guest's memory: translated code (1 GiB), stacks and heaps of threads, libraries.
const ADDRESS_SPACE_EXTRA: u64 = 16 << 30;
/// Users are given out by the domain's number within this many.
pub(super) const USERS: u32 = 65_536;
/// The probe's user is the last of them.
const PROBE_USER: u32 = USERS - 1;
/// Marks the process as one domain's, for a fief that died before it could note the number.
const MARK: &str = "FIEF_DOMAIN=";
/// Sockets that a start leaves in the domain's folder.
const SOCKETS: [&str; 2] = ["qmp.sock", "serial.sock"];
/// What is kept of a probe's output, in bytes.
const SAID_MAX: usize = 16 << 10;

pub(super) fn act(gate: &Gate, operation: &Operation, descriptors: Vec<OwnedFd>) -> Result<Done> {
    match operation {
        Operation::HypervisorStart { domain, id, command } => {
            let folder = gate.layout().domain(domain);
            let process = start(gate, &folder, *id, command, &descriptors)
                .map_err(|failure| failure.while_doing(format!("cannot start the hypervisor of {domain}")))?;
            Ok(Done { outcome: Outcome::Process { process }, descriptors: Vec::new() })
        }
        Operation::HypervisorProbe { command, limit_ms } => {
            let limit = Duration::from_millis(u64::from(*limit_ms));
            Ok(Done { outcome: probe(gate, command, &descriptors, limit)?, descriptors: Vec::new() })
        }
        other => Err(Failure::other(format!("not an operation on processes: {other:?}"))),
    }
}

/// Kills what `act` started, waits until it is gone, and removes its sockets. Without an outcome it looks for the mark.
pub(super) fn undo(gate: &Gate, operation: &Operation, outcome: Option<&Outcome>) -> Result<()> {
    let Operation::HypervisorStart { domain, .. } = operation else { return Ok(()) };
    let folder = gate.layout().domain(domain);
    let processes = match outcome {
        Some(Outcome::Process { process }) => vec![*process],
        Some(_) => Vec::new(),
        None => marked(&folder),
    };
    for process in processes {
        end(process).map_err(|failure| failure.while_doing(format!("cannot end the hypervisor of {domain}")))?;
    }
    for name in SOCKETS {
        match std::fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(|| format!("cannot remove {}", folder.join(name).display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn start(
    gate: &Gate,
    folder: &Path,
    id: u32,
    command: &HypervisorCommand,
    descriptors: &[OwnedFd],
) -> Result<ProcessId> {
    let path = folder.join("hypervisor.log");
    let log = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .and_then(|log| log.set_len(0).map(|()| log))
        .context(|| format!("cannot write {}", path.display()))?;
    run(gate, command, id % USERS, &[mark(folder)], &log, descriptors)
}

fn run(
    gate: &Gate,
    command: &HypervisorCommand,
    user: u32,
    environment: &[String],
    log: &File,
    descriptors: &[OwnedFd],
) -> Result<ProcessId> {
    let mut environment = environment.to_vec();
    environment.push("LC_ALL=C".into());
    let user = if rustix::process::geteuid().is_root() { Some(own_user(gate, user)?) } else { None };
    let pid = spawn(&Program {
        path: &command.program,
        arguments: &command.arguments,
        environment: &environment,
        log: log.as_fd(),
        descriptors,
        first: FIRST_DESCRIPTOR,
        confinement: Confinement {
            user,
            kvm: command.kvm,
            userfaults: userfaults(command)?,
            host_network: command.host_network,
            address_space: command.memory.bytes().saturating_mul(2).saturating_add(ADDRESS_SPACE_EXTRA),
        },
    })
    .map_err(|error| refused(&command.program, error))?;
    // Even if it has ended by now: until it is collected, its number and start time stay.
    let start_time = process::began(pid).ok_or_else(|| Failure::other(format!("process {pid} is gone")))?;
    Ok(ProcessId { pid, start_time })
}

/// The number of `/dev/userfaultfd` here: the kernel gives it one when it begins.
fn userfaults(command: &HypervisorCommand) -> Result<Option<u64>> {
    match command.userfaults {
        true => machine::userfaults().map(Some).context(|| "cannot let a guest fetch its memory".to_owned()),
        false => Ok(None),
    }
}

/// The user id for number `user`. Never root, and never 2^32 − 1, which setresuid(2) takes as "leave it as it is".
pub(super) fn own_user(gate: &Gate, user: u32) -> Result<u32> {
    let base = gate.policy().host.uid_base;
    base.checked_add(user).filter(|id| *id != 0 && *id != u32::MAX).ok_or_else(|| {
        Failure::usage(format!("uid-base {base} leaves no room for a user of the domain's own"))
            .hint("choose a uid-base between 65536 and 4000000000 in policy.toml")
    })
}

fn refused(program: &Path, error: SpawnError) -> Failure {
    let missing = error.source.kind() == std::io::ErrorKind::NotFound;
    let forbidden = error.source.kind() == std::io::ErrorKind::PermissionDenied;
    let failure = Failure::other(format!("cannot run {}", program.display())).because(error);
    if missing && !program.exists() {
        failure.hint("install it (apt install qemu-system-x86), or name it in policy.toml: [host] qemu = …")
    } else if forbidden {
        failure
            .hint("fief as root needs all of root's capabilities; in a container, give it CAP_SYS_ADMIN and CAP_MKNOD")
    } else {
        failure
    }
}

fn end(process: ProcessId) -> Result<()> {
    let saying = || format!("cannot kill process {}", process.pid);
    process::kill(process, Signal::KILL).context(saying)?;
    match process::wait_exit(process, GONE_WITHIN).context(saying)? {
        Some(Exit::Code(_) | Exit::Signal(_) | Exit::Unknown) => Ok(()),
        None => Err(Failure::new(
            Kind::TimedOut,
            format!("process {} was killed and is not gone after {GONE_WITHIN:?}", process.pid),
        )
        .hint("it waits for a disk that does not answer; try again once storage is back")),
    }
}

fn mark(folder: &Path) -> String {
    format!("{MARK}{}", folder.display())
}

/// Processes that carry the mark of the domain in `folder`.
pub(super) fn marked(folder: &Path) -> Vec<ProcessId> {
    let mark = mark(folder);
    let carries = |pid: u32| {
        let environment = std::fs::read(PathBuf::from(format!("/proc/{pid}/environ"))).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    };
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let start_time = process::start_time(pid)?;
            carries(pid).then_some(ProcessId { pid, start_time })
        })
        .collect()
}

fn probe(gate: &Gate, command: &HypervisorCommand, descriptors: &[OwnedFd], limit: Duration) -> Result<Outcome> {
    let saying = || format!("cannot try {}", command.program.display());
    let log = rustix::fs::memfd_create("fief-probe", rustix::fs::MemfdFlags::CLOEXEC).context(saying)?;
    let log = File::from(log);
    let process = run(gate, command, PROBE_USER, &[], &log, descriptors)?;
    let exit = process::wait_exit(process, limit).context(saying)?;
    if exit.is_none() {
        end(process)?;
    }
    let code = match exit {
        Some(Exit::Code(code)) => Some(code),
        Some(Exit::Signal(_) | Exit::Unknown) | None => None,
    };
    let mut said = vec![0; SAID_MAX];
    let length = std::os::unix::fs::FileExt::read_at(&log, &mut said, 0).context(saying)?;
    let said = String::from_utf8_lossy(&said[..length]).lines().map(String::from).collect();
    Ok(Outcome::Probed { code, timed_out: exit.is_none(), said })
}
