//! Bytes with descriptors beside them, over a unix stream socket (SCM_RIGHTS, unix(7)).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// Most descriptors in one message: a component and 31 directories (the kernel takes 253).
pub const DESCRIPTORS_MAX: usize = 32;

/// Sends the beginning of `bytes` with `descriptors` beside it; gives how many bytes went out.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> std::io::Result<usize> {
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            format!("{} descriptors are more than one message takes ({DESCRIPTORS_MAX})", descriptors.len()),
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(std::io::Error::other("no space for the descriptors of a message"));
    }
    Ok(rustix::io::retry_on_intr(|| sendmsg(&socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL))?)
}

/// Receives into `bytes`, and the descriptors that came beside, closed on exec. Zero bytes: the other side is gone.
pub fn receive(socket: impl AsFd, bytes: &mut [u8]) -> std::io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::io::retry_on_intr(|| {
        recvmsg(&socket, &mut [IoSliceMut::new(bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut descriptors = Vec::new();
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = part {
            descriptors.extend(more);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(std::io::Error::other("descriptors of a message were lost (too many open files?)"));
    }
    Ok((message.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_arrives_beside_its_bytes_and_is_closed_on_exec() {
        let (here, there) = UnixStream::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        assert_eq!(send(&here, b"hello", &[file.as_fd()]).unwrap(), 5);
        let mut bytes = [0; 16];
        let (count, descriptors) = receive(&there, &mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"hello");
        assert_eq!(descriptors.len(), 1);
        let sent = rustix::fs::fstat(&file).unwrap();
        let got = rustix::fs::fstat(&descriptors[0]).unwrap();
        assert_eq!((sent.st_dev, sent.st_ino), (got.st_dev, got.st_ino));
        assert!(rustix::io::fcntl_getfd(&descriptors[0]).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn more_descriptors_than_fit_are_refused_before_sending() {
        let (here, _there) = UnixStream::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        assert!(send(&here, b"x", &[file.as_fd(); DESCRIPTORS_MAX + 1]).is_err());
    }
}
