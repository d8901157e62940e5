//! Unix sockets in a folder, whatever the length of the folder's path.
//!
//! `sun_path` holds 108 bytes (unix(7)), and a root may lie deeper than that. So the folder is opened and the socket
//! is named through `/proc/self/fd/N/`, which is always short.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Connections that wait to be accepted; there is one supervisor and a few commands.
const BACKLOG: i32 = 64;

/// Listens on `dir/name`, which only the owner may connect to. A socket left there by an earlier run is replaced.
///
/// # Errors
/// `InvalidInput` where `name` is not one plain component; else what the system says.
pub fn listen_in(dir: &Path, name: &str) -> io::Result<UnixListener> {
    let folder = open(dir, name)?;
    match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let socket = stream()?;
    // Linux takes the mode of the new file from the socket's own inode (net/unix/af_unix.c, unix_bind_bsd), so there
    // is no moment in which it is open to others.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &address(&folder, name)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

/// Connects to `dir/name`.
///
/// # Errors
/// `NotFound` or `ConnectionRefused` where nobody listens there.
pub fn connect_in(dir: &Path, name: &str) -> io::Result<UnixStream> {
    let folder = open(dir, name)?;
    let socket = stream()?;
    rustix::net::connect(&socket, &address(&folder, name)?)?;
    Ok(UnixStream::from(socket))
}

/// Connects to `name` in a folder of somebody else's: to a socket that is there itself, and to none that a link leads to.
///
/// # Errors
/// As of [`connect_in`]; `InvalidInput` where it is no socket.
pub fn connect_at(folder: impl AsFd, name: &str) -> io::Result<UnixStream> {
    let there = rustix::fs::openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if !FileType::from_raw_mode(rustix::fs::fstat(&there)?.st_mode).is_socket() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "what is there is no socket"));
    }
    let socket = stream()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(format!("/proc/self/fd/{}", there.as_raw_fd()))?)?;
    Ok(UnixStream::from(socket))
}

fn open(dir: &Path, name: &str) -> io::Result<OwnedFd> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket's name is one plain component"));
    }
    Ok(rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn stream() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

fn address(folder: &OwnedFd, name: &str) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_socket_works_below_a_path_longer_than_an_address() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("x".repeat(100)).join("y".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let listener = listen_in(&deep, "control.sock").unwrap();
        let mut client = connect_in(&deep, "control.sock").unwrap();
        client.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        listener.accept().unwrap().0.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
        let mode = deep.join("control.sock").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_a_silent_one_refuses() {
        let root = tempfile::tempdir().unwrap();
        drop(listen_in(root.path(), "a.sock").unwrap());
        assert_eq!(connect_in(root.path(), "a.sock").unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let _listener = listen_in(root.path(), "a.sock").unwrap();
        assert!(connect_in(root.path(), "a.sock").is_ok());
        assert_eq!(connect_in(root.path(), "b.sock").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn in_a_folder_of_somebody_elses_no_link_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let folder = std::fs::File::open(root.path()).unwrap();
        let listener = listen_in(root.path(), "a.sock").unwrap();
        let mut client = connect_at(&folder, "a.sock").unwrap();
        client.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        listener.accept().unwrap().0.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
        std::os::unix::fs::symlink("a.sock", root.path().join("b.sock")).unwrap();
        std::fs::write(root.path().join("c.sock"), b"").unwrap();
        for wrong in ["b.sock", "c.sock"] {
            assert_eq!(connect_at(&folder, wrong).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{wrong}");
        }
        assert_eq!(connect_at(&folder, "d.sock").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        let root = tempfile::tempdir().unwrap();
        for bad in ["", ".", "..", "a/b", "/tmp/x"] {
            assert_eq!(listen_in(root.path(), bad).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
