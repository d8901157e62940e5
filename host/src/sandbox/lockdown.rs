//! What a sandbox gives up by itself, after `sys/confine.rs` took the rest before it began. All of it or nothing:
//! where a step does not work, the sandbox says so and ends.

use std::os::fd::BorrowedFd;

use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::sys::{landlock, seccomp};
use crate::types::Access;

/// Refuses to go on as root or with a capability, and shuts this process off from debuggers and core dumps.
pub(super) fn refuse_privilege() -> Result<(), String> {
    if rustix::process::geteuid().is_root() || rustix::process::getuid().is_root() {
        return Err("a sandbox does not run as root".into());
    }
    let held = rustix::thread::capabilities(None).map_err(|error| format!("capabilities cannot be read: {error}"))?;
    if !held.permitted.is_empty() || !held.effective.is_empty() {
        return Err("a sandbox does not run with capabilities".into());
    }
    rustix::thread::set_no_new_privs(true).map_err(|error| format!("no_new_privs cannot be set: {error}"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| format!("the process cannot be made undumpable: {error}"))
}

/// Bounds private memory that can be written, in bytes (RLIMIT_DATA, getrlimit(2)): the plugin's and the engine's.
pub(super) fn bound_memory(bytes: u64) -> Result<(), String> {
    limit(Resource::Data, bytes)
}

/// Bounds the processor time of the whole process, in seconds.
pub(super) fn bound_cpu(seconds: u64) -> Result<(), String> {
    limit(Resource::Cpu, seconds)
}

/// Files outside `directories` are gone from here on.
pub(super) fn shut_files(directories: &[(BorrowedFd<'_>, Access)]) -> Result<(), String> {
    landlock::restrict(directories)
}

/// No new thread, process, socket, program or executable memory from here on, in any thread; clients of `listener`
/// alone are let in.
pub(super) fn shut_calls(listener: Option<BorrowedFd<'_>>) -> Result<(), String> {
    limit(Resource::Nproc, 0)?;
    seccomp::restrict(listener)
}

fn limit(resource: Resource, value: u64) -> Result<(), String> {
    let wanted = Rlimit { current: Some(value), maximum: Some(value) };
    rustix::process::setrlimit(resource, wanted).map_err(|error| format!("{resource:?} cannot be limited: {error}"))
}
