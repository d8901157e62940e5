//! The system calls that a sandbox may make (seccomp(2)): those that files, memory and the clock need. A few that
//! nothing but an escape would try kill the process; the rest fail with EPERM.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads,
};

use super::file_calls;

/// Starting programs, tracing, sockets, namespaces, credentials, the kernel's insides.
const DEADLY: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_open_by_handle_at,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_personality,
];

/// Beside those of files (`file_calls.rs`).
const ALLOWED: &[libc::c_long] = &[
    // open descriptors: files, and the control socket
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_shutdown,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fadvise64,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_close,
    // memory; mmap and mprotect have rules of their own
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_brk,
    // waiting and time
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_sched_yield,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_ctl,
    libc::SYS_ppoll,
    libc::SYS_restart_syscall,
    // signals that the engine turns into traps
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // this process itself
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getrandom,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[libc::c_long] = &[libc::SYS_poll, libc::SYS_epoll_wait];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[libc::c_long] = &[];

#[cfg(target_arch = "x86_64")]
const DEADLY_HERE: &[libc::c_long] = &[libc::SYS_fork, libc::SYS_vfork, libc::SYS_iopl, libc::SYS_ioperm];
#[cfg(not(target_arch = "x86_64"))]
const DEADLY_HERE: &[libc::c_long] = &[];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Memory may be mapped or changed as long as it does not become executable.
fn not_executable() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let executable = libc::PROT_EXEC as u64;
    let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(executable), 0)?;
    Ok(vec![SeccompRule::new(vec![condition])?])
}

/// Clients of one socket are let in: no other can be listened on, since none can be made.
fn of_socket(listener: BorrowedFd<'_>) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let number = listener.as_raw_fd().unsigned_abs().into();
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, number)?;
    Ok(vec![SeccompRule::new(vec![condition])?])
}

fn programs(listener: Option<BorrowedFd<'_>>) -> Result<(BpfProgram, BpfProgram), seccompiler::BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut deadly: Rules = DEADLY.iter().chain(DEADLY_HERE).map(|call| (*call, Vec::new())).collect();
    let others = ALLOWED.iter().chain(ALLOWED_HERE).copied();
    let mut allowed: Rules = others.chain(file_calls::all()).map(|call| (call, Vec::new())).collect();
    allowed.insert(libc::SYS_mmap, not_executable()?);
    allowed.insert(libc::SYS_mprotect, not_executable()?);
    match listener {
        Some(listener) => drop(allowed.insert(libc::SYS_accept4, of_socket(listener)?)),
        None => drop(deadly.insert(libc::SYS_accept4, Vec::new())),
    }
    let kill = SeccompFilter::new(deadly, SeccompAction::Allow, SeccompAction::KillProcess, architecture)?;
    let refuse =
        SeccompFilter::new(allowed, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow, architecture)?;
    Ok((kill.try_into()?, refuse.try_into()?))
}

/// Restricts all threads of this process; the clients of `listener` may be let in, of no other socket. From here on no memory of it becomes executable.
///
/// # Errors
/// What is missing, for an operator.
pub fn restrict(listener: Option<BorrowedFd<'_>>) -> Result<(), String> {
    let (kill, refuse) =
        programs(listener).map_err(|error| format!("the system call filter cannot be built: {error}"))?;
    apply_filter_all_threads(&kill)
        .and_then(|()| apply_filter_all_threads(&refuse))
        .map_err(|error| format!("seccomp does not work here: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus, Stdio};

    const CHILD: &str = "FIEF_TEST_SECCOMP_CHILD";
    /// What a child ends with where its call was refused, and where it was not.
    const REFUSED: i32 = 42;
    const DONE: i32 = 43;

    /// Runs `act` of the test below in a process of its own.
    fn child(act: &str) -> ExitStatus {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "sys::seccomp::tests::what_a_child_does_behind_the_filter", "--test-threads=1"]);
        command.env(CHILD, act).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
    }

    #[test]
    fn what_only_an_escape_would_try_ends_the_process() {
        for act in ["socket", "thread", "program", "accept"] {
            assert_eq!(child(act).signal(), Some(libc::SIGSYS), "{act}");
        }
    }

    #[test]
    fn what_is_not_on_the_list_is_refused_and_the_rest_works() {
        for act in ["executable", "chmod", "kill", "accept-another"] {
            assert_eq!(child(act).code(), Some(REFUSED), "{act}");
        }
        for act in ["memory", "file", "clock", "accept-own"] {
            assert_eq!(child(act).code(), Some(DONE), "{act}");
        }
    }

    #[test]
    fn what_a_child_does_behind_the_filter() {
        let Ok(act) = std::env::var(CHILD) else { return };
        rustix::thread::set_no_new_privs(true).unwrap();
        let (one, _client) = listener();
        let (other, _another) = listener();
        let own = act.starts_with("accept-").then_some(one.as_fd());
        super::restrict(own).unwrap();
        let done = match act.as_str() {
            "accept" | "accept-own" => one.accept().is_ok(),
            "accept-another" => other.accept().is_ok(),
            "socket" => std::net::UdpSocket::bind("127.0.0.1:0").is_ok(),
            "thread" => std::thread::Builder::new().spawn(|| {}).is_ok(),
            "program" => Command::new("/bin/true").spawn().is_ok(),
            "executable" => map(libc::PROT_READ | libc::PROT_EXEC),
            "memory" => map(libc::PROT_READ | libc::PROT_WRITE),
            "chmod" => {
                use std::os::unix::fs::PermissionsExt;
                std::fs::set_permissions("/dev/null", PermissionsExt::from_mode(0o666)).is_ok()
            }
            "kill" => rustix::process::test_kill_process(rustix::process::getpid()).is_ok(),
            "file" => std::fs::read("/proc/self/stat").is_ok(),
            "clock" => std::time::SystemTime::now() > std::time::UNIX_EPOCH,
            _ => false,
        };
        std::process::exit(if done { DONE } else { REFUSED });
    }

    /// With a client that waits to be let in.
    fn listener() -> (UnixListener, UnixStream) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        (UnixListener::bind(&path).unwrap(), UnixStream::connect(&path).unwrap())
    }

    #[allow(unsafe_code)]
    fn map(protection: i32) -> bool {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping, which nothing refers to; the process ends next.
        unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) != libc::MAP_FAILED }
    }
}
