#![allow(unsafe_code)]
//! What of a file is in memory.

use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::fstatfs;

/// f_type of file systems that are nothing but memory (statfs(2)).
const IN_MEMORY: &[i64] = &[0x0102_1994, 0x8584_58f6];

/// Reads into the free room at the end of `bytes`, from `offset` of the file on, what is there without waiting for
/// storage (preadv2(2), RWF_NOWAIT); gives how many bytes came, none at the end of the file.
///
/// # Errors
/// `WouldBlock` where the first of them is not in memory; `Unsupported` where the file system cannot tell.
pub fn read_now(file: impl AsFd, offset: u64, bytes: &mut Vec<u8>) -> Result<usize> {
    let room = bytes.spare_capacity_mut();
    let part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    let offset = i64::try_from(offset).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    // SAFETY: the one buffer is the vector's own free room, which is written to at the most in the length said.
    let got = unsafe { libc::preadv2(file.as_fd().as_raw_fd(), &raw const part, 1, offset, libc::RWF_NOWAIT) };
    let Ok(got) = usize::try_from(got) else { return Err(Error::last_os_error()) };
    let length = bytes.len() + got;
    // SAFETY: that many bytes behind the old end were written by the kernel.
    unsafe { bytes.set_len(length) };
    Ok(got)
}

/// Whether the file never waits for storage at all.
///
/// # Errors
/// Those of fstatfs(2).
pub fn is_in_memory(file: impl AsFd) -> Result<bool> {
    Ok(IN_MEMORY.contains(&(fstatfs(file)?.f_type as i64)))
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};

    use super::*;

    #[test]
    fn what_is_in_memory_comes_at_once_and_ends_with_the_file() {
        // Beside the program: most machines have their temporary files in memory.
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let mut file = tempfile::tempfile_in(folder).unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        let mut bytes = Vec::with_capacity(4096);
        match read_now(&file, 9_000, &mut bytes) {
            Ok(got) => {
                assert_eq!((got, &bytes[..]), (1_000, &[7; 1_000][..]));
                assert_eq!(read_now(&file, 10_000, &mut bytes).unwrap(), 0);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}"),
        }
    }

    #[test]
    fn a_file_in_memory_is_known() {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        assert!(is_in_memory(&file).unwrap());
        assert!(!is_in_memory(std::fs::File::open("/proc/self/status").unwrap()).unwrap());
    }
}
