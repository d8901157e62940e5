//! Descriptors that another process keeps open and knows nothing of: they lie in the queue of a socket, of which it holds the
//! end that would read them (unix(7), SCM_RIGHTS). Whoever put them there may die; whoever comes next finds them.
//!
//! ```text
//!   puts ──▸ [ a descriptor | a descriptor | … ] ── the end that somebody keeps
//!                  ▴ looked at, and left there: pidfd_getfd(2) of that end, MSG_PEEK
//! ```

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg, socketpair,
};
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use super::{message, process};
use crate::types::ProcessId;

/// Most that are looked at: what keeps them may not be trusted.
const KEPT_MAX: usize = 32;
/// Most descriptors of a process that are looked through.
const OPEN_MAX: usize = 4096;

/// The end at which descriptors are put.
#[derive(Debug)]
pub struct Deposit(OwnedFd);

impl Deposit {
    /// Beside it the end that is to be kept by somebody: nothing is ever to be read from it.
    pub fn new() -> io::Result<(Deposit, OwnedFd)> {
        // Sockets of that type are rare, by which this one is found.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (puts, keeps) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Deposit(puts), keeps))
    }

    /// From now on it stays open for as long as the other end does.
    ///
    /// # Errors
    /// `BrokenPipe` where nobody keeps that any more.
    pub fn put(&self, descriptor: impl AsFd) -> io::Result<()> {
        message::send(&self.0, b"+", &[descriptor.as_fd()]).map(drop)
    }
}

/// All that lies in deposits that this process keeps, in the order in which it was put there; it stays there.
///
/// # Errors
/// `PermissionDenied` where this process may not look into that one (ptrace(2), CAP_SYS_PTRACE); `ESRCH` where it is gone.
pub fn kept_by(process: ProcessId) -> io::Result<Vec<OwnedFd>> {
    let held = process::open(process)?;
    let mut all = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{}/fd", process.pid))?.take(OPEN_MAX) {
        let entry = entry?;
        // It may be closed by now.
        let Ok(leads) = std::fs::read_link(entry.path()) else { continue };
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|_| leads.as_os_str().as_encoded_bytes().starts_with(b"socket:")) else {
            continue;
        };
        let socket = match pidfd_getfd(&held, number, PidfdGetfdFlags::empty()) {
            Ok(socket) => socket,
            Err(rustix::io::Errno::BADF) => continue,
            Err(error) => return Err(error.into()),
        };
        if is_deposit(&socket) {
            look(&socket, &mut all)?;
        }
    }
    Ok(all)
}

fn is_deposit(socket: &OwnedFd) -> bool {
    socket_domain(socket) == Ok(AddressFamily::UNIX) && socket_type(socket) == Ok(SocketType::SEQPACKET)
}

fn look(socket: &OwnedFd, all: &mut Vec<OwnedFd>) -> io::Result<()> {
    peek_from_start(socket)?;
    while all.len() < KEPT_MAX {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(message::DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let mut byte = [0];
        let received =
            rustix::io::retry_on_intr(|| recvmsg(socket, &mut [io::IoSliceMut::new(&mut byte)], &mut ancillary, flags));
        match received {
            Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
            // Whoever put them is gone, and this was the last.
            Ok(message) if message.bytes == 0 => return Ok(()),
            Ok(_) => {}
        }
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                all.extend(descriptors);
            }
        }
    }
    Ok(())
}

/// Each look goes on where the last one ended (SO_PEEK_OFF, socket(7)), and the next one begins anew.
#[allow(unsafe_code)]
fn peek_from_start(socket: &OwnedFd) -> io::Result<()> {
    let offset: libc::c_int = 0;
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or_default();
    // SAFETY: the value is an int of that length, which lives until the call returns.
    let set = unsafe {
        let descriptor = socket.as_fd().as_raw_fd();
        libc::setsockopt(descriptor, libc::SOL_SOCKET, libc::SO_PEEK_OFF, (&raw const offset).cast(), length)
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_another_process_keeps_outlives_whoever_put_it_there_and_is_found_again() {
        let (deposit, keeps) = Deposit::new().unwrap();
        let mut keeper = Command::new("sleep").arg("60").stdin(Stdio::from(keeps)).spawn().unwrap();
        let process = process::identify(keeper.id()).unwrap();
        let mut ours = Vec::new();
        for _ in 0..KEPT_MAX - 1 {
            let (here, there) = UnixStream::pair().unwrap();
            deposit.put(&there).unwrap();
            ours.push(here);
        }
        drop(deposit);
        // However often somebody looks.
        for round in 0..2 {
            let found = kept_by(process).unwrap();
            assert_eq!(found.len(), ours.len());
            for (number, (mut here, there)) in ours.iter().zip(found).enumerate() {
                let byte = u8::try_from(number + round).unwrap();
                here.write_all(&[byte]).unwrap();
                let mut heard = [0];
                UnixStream::from(there).read_exact(&mut heard).unwrap();
                assert_eq!(heard, [byte]);
            }
        }
        keeper.kill().unwrap();
        keeper.wait().unwrap();
        assert!(kept_by(process).is_err());
        // With it they went.
        assert_eq!(ours[0].read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn nothing_is_put_where_nobody_keeps_it() {
        let (deposit, keeps) = Deposit::new().unwrap();
        drop(keeps);
        let (_here, there) = UnixStream::pair().unwrap();
        assert_eq!(deposit.put(&there).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
